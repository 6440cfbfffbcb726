"""`launch serve`: the trainer serves a run's base and adapter."""

import argparse


def add_flags(parser: argparse.ArgumentParser) -> None:
    from trainer.contract.result_flags import add_serve_flags

    add_serve_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.runs.run_folder import find_result
    from launcher.world import World
    from trainer.contract.result_flags import SERVE, given

    world = World()
    folder = find_result(options.run, world=world)
    # Signals then come to the server alone, and its exit code is this command's.
    world.become(world.python("trainer", "serve", str(folder), *given(options, SERVE)))
