"""Split episodes by table into train.jsonl and test.jsonl."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs

SHOWN = 5


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
        metavar="SHARE",
        help="share of the tables to put into the test set (default: 0.25)",
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
        help="also put this share of the question families into families.jsonl (default: 0)",
    )
    verb.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.split import SIDES, split, write_sides
    from datagen.episode import EpisodeFile

    episodes, folder = EpisodeFile(args.episodes), args.episodes.parent
    found = split(
        episodes,
        folder,
        test_share=args.test_share,
        seed=args.seed,
        hold_out=args.hold_out,
        family_share=args.family_share,
    )
    paths = {
        side: folder / f"{side}.jsonl" for side in SIDES if side != "families" or args.family_share
    }
    write_sides(episodes, found.sides, paths)
    for side, path in paths.items():
        print(f"{found.sides.count(side)} episodes over {found.tables[side]} tables: {path}")
    for reason, count in found.left_out.items():
        print(f"{count} left out: {reason}")
    if found.unread:
        names = ", ".join(found.unread[:SHOWN]) + ", ..." * (len(found.unread) > SHOWN)
        print(
            f"the rows of {len(found.unread)} tables were not compared, because the file is missing or"
            f" has changed: {names}",
            file=sys.stderr,
        )
    return 0
