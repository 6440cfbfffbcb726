"""`launch export`: the trainer merges or publishes a run's adapter."""

import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    from trainer.contract.exporting import add_flags

    add_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.runs.run_folder import find
    from launcher.world import World
    from trainer.contract.exporting import given
    from trainer.contract.manifest import NAME

    world = World()
    # A run of the trainer alone has no journal.
    whole = (options.run / NAME).is_file()
    folder = options.run if whole else find(str(options.run), world=world).folder
    world.finish(world.python("trainer", "export", str(folder), *given(options)))
    return 0
