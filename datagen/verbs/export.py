"""Write verified episodes as training rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "export", help="write verified episodes as training rows (OpenAI chat JSONL)"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES")
    verb.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes
    from datagen.export import export as write_rows

    print(f"{write_rows(read_episodes(args.episodes), args.out)} rows: {args.out}")
    return 0
