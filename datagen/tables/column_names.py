"""The names of a table's columns: unique and without blanks around them; and what may be doubted about them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from datagen.tables.blanks import plain_blanks, trim
from datagen.tables.date_formats import looks_like_date
from datagen.tables.missing_values import stands_for_missing
from datagen.tables.number_formats import parse_numbers, style_of

PROBED = 50


def unique_names(header: list[str]) -> tuple[list[str], list[str]]:
    """Column names without blanks around them, none empty and none twice; and what was renamed.

    A repeated name gets .1, .2 as in pandas, an empty one becomes column_3 for the third column.
    """
    plain = [" ".join(plain_blanks(trim(name)).split()) for name in header]
    given, taken = {*plain}, set[str]()
    numbers: dict[str, int] = {}
    names: list[str] = []
    renamed: list[str] = []
    for at, wanted in enumerate(plain, 1):
        base = wanted or f"column_{at}"
        number = numbers.get(base, 0)
        name = f"{base}.{number}" if number else base
        while name in taken or (number and name in given):
            number += 1
            name = f"{base}.{number}"
        numbers[base] = number
        taken.add(name)
        if name != wanted:
            renamed.append(f"column {at}: {'no name' if not wanted else repr(wanted)} -> {name!r}")
        names.append(name)
    return names, renamed


def look_alikes(names: Sequence[str]) -> list[str]:
    """A note for each name that a reader may take for an earlier one: other case, or compatible letters."""
    seen: dict[str, str] = {}
    notes = []
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            notes.append(f"two columns have names that look alike: {other!r} and {name!r}")
    return notes


def values_in_header(header: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """A note where the first line looks like values: the file may have no header.

    A name above numbers or dates that is neither proves a header, and so do years or numbers in even
    steps, which tables have that give each year a column.
    """
    typed = []
    for name, values in zip(header, columns, strict=False):
        known = [value for value in values[:PROBED] if value and not stands_for_missing(value)]
        if known and all(map(_is_number, known)):
            typed.append((name, _is_number(name)))
        elif known and all(map(looks_like_date, known)):
            typed.append((name, looks_like_date(name)))
        elif name and values[:PROBED].count(name) > 1:
            typed.append((name, True))
    if not typed or not all(fits for _, fits in typed) or _in_steps([name for name, _ in typed]):
        return []
    looks = f"the first line gave the columns their names, but {typed[0][0]!r} looks like a value"
    return [f"{looks}: if the file has no header, use --no-header"]


def _is_number(text: str) -> bool:
    return any(parse_numbers([text], style_of(mark, None)).numbers != [None] for mark in ".,")


def _in_steps(names: Sequence[str]) -> bool:
    """Whether these are years, or whole numbers that rise in even steps."""
    if not all(name.strip().isdecimal() for name in names):
        return False
    numbers = [int(name) for name in names]
    steps = {after - before for before, after in pairwise(numbers)}
    return (len(steps) == 1 and steps.pop() > 0) or all(1900 <= n <= 2100 for n in numbers)
