"""`launch export`: the trainer merges, converts or publishes a run's adapter."""

import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    from trainer.contract.result_flags import add_export_flags

    add_export_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.runs.run_folder import find_result
    from launcher.world import World
    from trainer.contract.result_flags import EXPORT, given

    world = World()
    folder = find_result(options.run, world=world)
    world.finish(world.python("trainer", "export", str(folder), *given(options, EXPORT)))
    return 0
