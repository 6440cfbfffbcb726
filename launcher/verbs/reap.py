"""`launch reap`: delete or stop pods whose run has ended or whose deadline has passed."""

import argparse

from launcher.verbs.arguments import json_flag


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", nargs="*", metavar="POD", help="pods to delete now, by id or name")
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.rental.receipt_and_reap import reap
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        pods, lines = reap(options.pod, world=world, view=view)
        view.result({"state": "reaped", "exit_code": 0, "pods": pods}, lines)
    return 0
