"""Split episodes by table into train.jsonl and test.jsonl."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser("split", help="split episodes by table into train.jsonl and test.jsonl")
    verb.add_argument("episodes", type=Path, metavar="EPISODES")
    verb.add_argument(
        "--test-share", type=float, default=0.25, help="share of the tables to hold out (0.25)"
    )
    verb.add_argument(
        "--hold-out",
        action="append",
        default=[],
        metavar="TABLE",
        help="hold this table out; repeatable",
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes, write_episodes
    from datagen.split import split_by_table

    sides = split_by_table(
        read_episodes(args.episodes),
        test_share=args.test_share,
        seed=args.seed,
        hold_out=args.hold_out,
    )
    for name, side in zip(("train", "test"), sides, strict=True):
        path = args.episodes.parent / f"{name}.jsonl"
        write_episodes(path, side)
        print(
            f"{len(side)} episodes over {len({t.sha256 for e in side for t in e.tables})} tables: {path}"
        )
    return 0
