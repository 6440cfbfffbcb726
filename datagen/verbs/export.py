"""Write verified episodes as training rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.verbs.arguments import whole_count

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs

LIMITS = {
    "per_question": "maximum distinct right attempts at one question (default: 4)",
    "per_family": "maximum rows of one question family",
    "per_table": "maximum rows about one table",
}


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "export", help="write verified episodes as training rows (OpenAI chat JSONL)"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES", help="episode file (.jsonl)")
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSONL file to write")
    for name, meaning in LIMITS.items():
        verb.add_argument(
            f"--{name.replace('_', '-')}",
            type=whole_count,
            metavar="N",
            help=meaning,
        )
    verb.add_argument(
        "--rejected",
        type=Path,
        metavar="FILE",
        help="also write preference rows (a right and a wrong attempt each) to this file",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.export import ExportRules, export
    from datagen.episode import EpisodeFile

    limits = {name: limit for name in LIMITS if (limit := getattr(args, name)) is not None}
    rules = ExportRules(**limits)
    done = export(EpisodeFile(args.episodes), args.out, rules=rules, rejected=args.rejected)
    print(f"{done.rows} rows: {args.out}")
    for reason, count in done.left_out.items():
        if count:
            print(f"{count} left out: {reason}")
    return 0
