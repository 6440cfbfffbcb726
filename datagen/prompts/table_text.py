"""A table in words: its columns with kind, meaning, gaps and values, and its first rows."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.episode import Column, TableRef

# What is shown of a wide table; a model that wants more can print it.
MOST_COLUMNS = 60
MOST_CELLS = 24
LONGEST_VALUE = 40
MOST_VALUES = 6


def frames_text(tables: Sequence[TableRef]) -> str:
    """Where the code finds the tables."""
    first, *others = tables
    found = f'df is the table "{first.name}", as a pandas DataFrame'
    if not others:
        return f"{found}."
    names = ", ".join(f'tables["{table.name}"]' for table in others)
    return f'{found}; it is tables["{first.name}"] too, and the others are {names}.'


def table_text(table: TableRef) -> str:
    """The profile of one table, as the `full` prompt shows it."""
    shown = table.columns[:MOST_COLUMNS]
    lines = [f'Table "{table.name}": {table.rows} rows, {len(table.columns)} columns']
    lines += [_column_text(column) for column in shown]
    if len(shown) < len(table.columns):
        lines.append(f"- and {len(table.columns) - len(shown)} more columns, in df.columns")
    if table.head:
        lines += ["Its first rows:", _csv([column.name for column in table.columns], table.head)]
    return "\n".join(lines)


def _column_text(column: Column) -> str:
    kind = column.kind
    if column.meaning not in {None, kind}:
        kind += f" ({column.meaning})"
    parts = [f'- "{_shortened(column.name)}": {kind}']
    if column.unit:
        parts.append(f"unit {column.unit}")
    if column.missing:
        parts.append(f"{column.missing} missing")
    if column.distinct is not None:
        parts.append(f"{column.distinct} different")
    if column.low is not None and column.high is not None:
        parts.append(f"from {column.low:g} to {column.high:g}")
    if column.first is not None:
        parts.append(f"from {column.first} to {column.last}")
    if column.top:
        values = ", ".join(_shortened(value) for value in column.top[:MOST_VALUES])
        parts.append(f"often {values}")
    return ", ".join(parts)


def _csv(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in (names, *rows):
        writer.writerow([_shortened(cell) for cell in row[:MOST_CELLS]])
    return text.getvalue().rstrip("\n")


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_VALUE else f"{flat[: LONGEST_VALUE - 1]}…"
