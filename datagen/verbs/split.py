"""Split episodes by table into train.jsonl and test.jsonl."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "split",
        help="split episodes by table, then by question family, without near-duplicates across the split",
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES", help="episode file (.jsonl)")
    verb.add_argument(
        "--test-share",
        type=float,
        default=0.25,
        help="share of the tables to put into the test set (0.25)",
    )
    verb.add_argument(
        "--hold-out",
        action="append",
        default=[],
        metavar="TABLE",
        help="put this table into the test set; repeatable",
    )
    verb.add_argument(
        "--family-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="also put this share of the question families into families.jsonl (0)",
    )
    verb.add_argument("--seed", type=int, default=0, help="random seed (0)")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.split import split
    from datagen.episode import read_episodes, write_episodes

    found = split(
        read_episodes(args.episodes),
        test_share=args.test_share,
        seed=args.seed,
        hold_out=args.hold_out,
        family_share=args.family_share,
    )
    sides = {"train": found.train, "test": found.test}
    if args.family_share:
        sides["families"] = found.families
    for name, side in sides.items():
        path = args.episodes.parent / f"{name}.jsonl"
        write_episodes(path, side)
        tables = len({table.sha256 for episode in side for table in episode.tables})
        print(f"{len(side)} episodes over {tables} tables: {path}")
    for reason, count in found.left_out.items():
        print(f"{count} left out: {reason}")
    return 0
