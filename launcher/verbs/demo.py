"""`launch demo`: make data, train and evaluate a small model on this machine."""

import argparse
from pathlib import Path

from launcher.verbs.arguments import json_flag
from trainer.contract.command.errors import Usage


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="ID",
        help="another base model: a hub id or a folder (default: SmolLM2-135M-Instruct)",
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="use the bundled tiny model: needs no network, and claims no uplift",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<id>)")
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.demo.story import run
    from launcher.view.choose_view import open_view
    from launcher.world import World

    if options.tiny and options.model:
        raise Usage("--tiny and --model cannot be combined", "leave out one of them")
    world = World()
    with open_view(world=world, as_json=options.json) as view:
        return run(
            model=options.model,
            tiny=options.tiny,
            out=options.out,
            seed=options.seed,
            world=world,
            view=view,
        )
