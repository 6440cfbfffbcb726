"""`launch report`: write a run's report.html and report.json again, from what lies in its folder."""

import argparse

from launcher.verbs.arguments import run_flags as add_flags

__all__ = ["add_flags", "run"]


def run(options: argparse.Namespace) -> int:
    from launcher.report import read, write
    from launcher.runs import find
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        found = find(options.run, world=world)
        path = write(found)
        view.result(
            {
                "state": "reported",
                "exit_code": 0,
                "report": str(path),
                "figures": read(found).model_dump(mode="json"),
            },
            [*read(found).outcome, f"report   {path}"],
        )
    return 0
