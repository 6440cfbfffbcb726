"""Write the dataset card and the quality page of a file of episodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "card", help="write a dataset card and a quality page: provenance, yields, costs, licences"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES", help="episode file (.jsonl)")
    verb.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for README.md and quality.html",
    )
    verb.add_argument(
        "--name", help="name of the dataset (default: the name of the episodes' folder)"
    )
    verb.add_argument(
        "--licence", help="licence of the tables, as the hub writes it, such as cc0-1.0"
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.card import write_card
    from datagen.dataset.facts import measure
    from datagen.episode import EpisodeFile

    quality = measure(EpisodeFile(args.episodes))
    name = args.name or args.episodes.resolve().parent.name
    for path in write_card(quality, args.out, name=name, licence=args.licence):
        print(path)
    return 0
