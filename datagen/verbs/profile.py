"""What is in CSV files: rows, columns, kinds, missing values."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "profile", help="what is in CSV files: rows, columns, kinds, missing values"
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.tables import profile_table

    found = [profile_table(path) for path in args.csv]
    if args.json:
        for table in found:
            print(json.dumps(asdict(table), default=str))
        return 0
    for table in found:
        columns = ", ".join(
            f"{c.name} {c.kind}" + (f" ({c.missing} missing)" if c.missing else "")
            for c in table.columns
        )
        print(f"{table.name}: {table.rows} rows: {columns}")
    return 0
