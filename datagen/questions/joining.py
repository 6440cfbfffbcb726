"""Which column of one table refers to which column of another, found by inclusion of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from datagen.questions.cells import Cells

if TYPE_CHECKING:
    from datagen.tables.table import TableProfile

LEAST_SHARE = 0.5  # of the referring column's different values


def keys(
    profiles: Sequence[TableProfile], tables: Sequence[Cells] | None = None
) -> list[tuple[str, str]]:
    """Pairs of a column of the first table and a key of the second that holds its values.

    The key has no value twice. Whole numbers refer only to a column of the same name: small numbers
    are found anywhere.
    """
    left, right = profiles
    here, there = tables or [Cells.of(left), Cells.of(right)]
    found = []
    for key in right.columns:
        if key.kind not in {"text", "integer"} or key.missing or key.distinct != right.rows:
            continue
        known = {*there.values(key.name)}
        for column in left.columns:
            if column.kind != key.kind or column.distinct < 2:
                continue
            if column.kind == "integer" and column.name.lower() != key.name.lower():
                continue
            values = {*here.values(column.name)} - {None}
            if len(values & known) >= max(2, LEAST_SHARE * len(values)):
                found.append((column.name, key.name))
    return found


def joinable(
    profiles: Sequence[TableProfile],
) -> Iterator[tuple[TableProfile, TableProfile]]:
    """Every two tables, the referring one first, where a column of it refers to a key of the other."""
    cells = [Cells.of(profile) for profile in profiles]
    for at, left in enumerate(profiles):
        for to, right in enumerate(profiles):
            if at != to and keys([left, right], [cells[at], cells[to]]):
                yield left, right
