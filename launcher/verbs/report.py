"""`launch report`: write a run's report.html and report.json again, from what lies in its folder."""

import argparse

from launcher.verbs.arguments import run_flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings

    run_flags(parser)
    settings.add_flags(parser, only=("track", "track_project"))


def run(options: argparse.Namespace) -> int:
    from launcher import settings, tracking
    from launcher.report import read, write
    from launcher.runs.run_folder import find
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    asked = settings.given(options)
    wanted = settings.load(asked, world=world)
    tracker = wanted.track if "track" in asked else "none"
    tracking.check(tracker, variable=world.variable)
    with open_view(world=world, as_json=options.json) as view:
        found = find(options.run, world=world)
        path = write(found)
        if tracker != "none":
            tracking.send(found, tracker, wanted.track_project, view)
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
