"""`launch logs`: show a run's events and its trainer's output."""

import argparse

from launcher.verbs.arguments import json_flag


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run id, its first characters, or a run folder")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="keep printing until the run ends"
    )
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.runs.logs import lines
    from launcher.runs.run_folder import find
    from launcher.world import World

    world = World()
    run = find(options.run, world=world)
    for text in lines(run, follow=options.follow, as_json=options.json, world=world):
        print(text, flush=options.follow)
    return 0
