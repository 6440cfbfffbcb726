"""Write the bundled tables, and synthetic ones, to a folder."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.contract.command.errors import Usage

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "tables", help="write the bundled tables, and synthetic ones, to a folder"
    )
    verb.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write CSV files to"
    )
    verb.add_argument(
        "--invent",
        type=int,
        default=0,
        metavar="N",
        help="also make N synthetic tables (at most 24)",
    )
    verb.add_argument("--only-invented", action="store_true", help="leave out the bundled tables")
    verb.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.tables.synthetic import LIMIT, synthetic_tables
    from datagen.tables.table import bundled_tables

    if not 0 <= args.invent <= LIMIT:
        raise Usage(
            f"--invent {args.invent}: not between 0 and {LIMIT}", "choose a number in that range"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = [] if args.only_invented else bundled_tables()
    bundled = [Path(shutil.copy(path, args.out)) for path in wanted]
    synthetic = synthetic_tables(args.out, count=args.invent, seed=args.seed)
    print(f"{len(bundled)} bundled and {len(synthetic)} synthetic tables in {args.out}")
    return 0
