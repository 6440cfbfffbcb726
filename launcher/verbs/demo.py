"""`launch demo`: make data, train and evaluate a tiny model on this machine."""

import argparse
from pathlib import Path

from launcher.verbs.arguments import json_flag


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<id>)")
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.demo import run
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        return run(out=options.out, seed=options.seed, world=world, view=view)
