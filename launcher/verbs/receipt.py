"""`launch receipt`: what a run has cost, next to its quote."""

import argparse

from launcher.verbs.arguments import run_flags as add_flags

__all__ = ["add_flags", "run"]


def run(options: argparse.Namespace) -> int:
    from launcher.rental.receipt_and_reap import ask_receipt
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        facts, lines = ask_receipt(options.run, world=world, view=view)
        view.result({"state": "receipt", "exit_code": 0, **facts}, lines)
    return 0
