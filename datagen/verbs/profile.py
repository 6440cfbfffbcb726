"""What is in CSV files, and how they were read: kinds, meanings, ranges, missing values."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.verbs.reading_flags import (
    add_reading_flags,
    check_columns,
    read_profiles,
    reading_options,
    unreadable,
)

if TYPE_CHECKING:
    from datagen.episode import Reading
    from datagen.tables.column_profile import ColumnProfile
    from datagen.tables.table import TableProfile
    from datagen.verbs.arguments import Verbs

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
SHOWN = 24
MIDNIGHT = "T00:00:00"


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "profile",
        help="show what CSV files contain and how they are read: kinds, ranges, missing values",
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV", help="CSV files")
    verb.add_argument("--json", action="store_true", help="print JSON, one line per file")
    add_reading_flags(verb)
    verb.examples = (
        "datagen profile data/*.csv",
        "datagen profile sales.csv --delimiter ';' --decimal ,",
        "datagen profile sales.csv --date-format day=%d/%m/%Y --json",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    given = reading_options(args)
    found, faults = read_profiles(args.csv, given)
    if not faults:
        check_columns(given, found)
    for table in found:
        if args.json:
            record = asdict(table) | {"reading": table.reading.model_dump()}
            print(json.dumps(record, default=str, allow_nan=False))
        else:
            print("\n".join(_lines(table)))
    if faults:
        raise unreadable(faults, of=len(args.csv))
    return 0


def _lines(table: TableProfile) -> list[str]:
    """The table, how it was read, what may be doubted, then a line for each column."""
    cells = [(c.name, c.kind, c.meaning, *_details(c, table.reading)) for c in table.columns]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{table.name}: {table.rows} rows, {len(table.columns)} columns; {_read(table.reading)}",
        *(f"  note: {note}" for note in table.notes),
        *(
            "  "
            + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ),
    ]


def _read(reading: Reading) -> str:
    said = [
        reading.encoding.removesuffix("-sig"),
        DELIMITERS.get(reading.delimiter, repr(reading.delimiter)),
        f"decimal {reading.decimal!r}",
    ]
    if not reading.header:
        said.append("no header")
    if reading.skip_lines:
        said.append(f"lines skipped: {reading.skip_lines}")
    if reading.thousands:
        said.append(f"groups {reading.thousands!r}")
    if reading.missing:
        said.append(f"missing: {', '.join(map(repr, reading.missing))}")
    if reading.kept:
        said.append(f"not missing: {', '.join(map(repr, reading.kept))}")
    return ", ".join(said)


def _details(column: ColumnProfile, reading: Reading) -> tuple[str, str, str]:
    """Distinct and missing values, the range, and examples with what was taken for missing."""
    stand_ins = reading.sentinels.get(column.name, [])
    missing = f", {column.missing} missing" if column.missing else ""
    taken = f" ({', '.join(map(repr, stand_ins))})" if stand_ins else ""
    span = ""
    if column.low is not None and column.high is not None:
        span = f"{column.low:g} to {column.high:g} {column.unit or ''}".rstrip()
    elif column.format:
        first, last = (str(at).removesuffix(MIDNIGHT) for at in (column.first, column.last))
        span = f"{first} to {last} as {column.format}"
    return f"{column.distinct} values{missing}{taken}", span, _examples(column)


def _examples(column: ColumnProfile) -> str:
    if column.numeric or column.kind == "date":
        return ""
    shown = (" ".join(example.split()) for example in column.examples[:3])
    return ", ".join(e if len(e) <= SHOWN else e[: SHOWN - 1] + "…" for e in shown)
