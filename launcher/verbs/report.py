"""`launch report`: write a run's report.html again, from what lies in its folder."""

import argparse

from launcher.verbs.arguments import run_flags as add_flags

__all__ = ["add_flags", "run"]


def run(options: argparse.Namespace) -> int:
    from launcher.report import write
    from launcher.runs import find
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        path = write(find(options.run, world=world))
        view.result({"state": "reported", "exit_code": 0, "report": str(path)}, [str(path)])
    return 0
