"""`launch guard`: the guard of a rented pod, started by the launcher itself."""

import argparse
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)


def run(options: argparse.Namespace) -> int:
    from launcher.rental.guard import watch
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world) as view:
        watch(options.folder, world=world, view=view)
    return 0
