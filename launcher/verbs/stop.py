"""`launch stop`: stop a run and keep what it has trained."""

import argparse

from launcher.verbs.arguments import run_flags
from trainer.contract.command.errors import Interrupted


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--now", action="store_true", help="save nothing, and delete the pod at once"
    )
    run_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.stop import stop
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        try:
            outcome = stop(options.run, at_once=options.now, world=world, view=view)
        except Interrupted as done:
            facts = {"state": "stopped", "exit_code": 0, "cause": done.cause}
            view.result(facts, [done.cause, f"  -> {done.hint}"])
            return 0
        view.result(
            {"state": "finished", "exit_code": 0, "adapter": str(outcome.run.adapter)},
            [f"the run had already finished: {outcome.run.adapter}"],
        )
    return 0
