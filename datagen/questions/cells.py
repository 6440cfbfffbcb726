"""A CSV's cells as plain Python values: the truth's own route to a table, which shares no code with pandas."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Self

from datagen.episode import Reading
from datagen.tables.blanks import plain_blanks, trim
from datagen.tables.date_formats import OFFSET
from datagen.tables.records import records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from datagen.tables.table import TableProfile

Value = str | int | float | bool
MISSING = frozenset(
    "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split(
        "|"
    )
)
BESIDE_NUMBERS = re.compile(r"[A-Za-z]{2,}\.?|[\s\u00a0\u202f%'\u2019]|[^\w\s.,()+-]")
PLAIN_WHOLE = re.compile(r"-?\d{16,19}", re.ASCII)
MINUS = "\u2212"
TRUE, FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})


class Cells:
    """One table, read lazily: `text`, `numbers`, `dates` and typed `values` of a column, None = missing.

    `names` are the columns in the file's order, `kinds` their kinds where they are known.
    """

    def __init__(
        self,
        path: Path,
        reading: Reading | None = None,
        names: Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._reading = reading or Reading()
        self._names = names
        self.kinds = dict(kinds or {})
        self.numbers = cache(self._numbers)
        self.dates = cache(self._dates)
        self.values = cache(self._values)

    @classmethod
    def of(cls, profile: TableProfile) -> Self:
        columns = profile.columns
        return cls(
            profile.path,
            profile.reading,
            [c.name for c in columns],
            {c.name: c.kind for c in columns},
        )

    @cached_property
    def text(self) -> dict[str, list[str | None]]:
        """Every column as text, in the file's order."""
        names = self._names or next(records(self._path, self._reading, header=True))
        lines = [*records(self._path, self._reading)]
        return {
            name: self._known(name, [line[at] if at < len(line) else "" for line in lines])
            for at, name in enumerate(names)
        }

    @property
    def rows(self) -> int:
        return len(next(iter(self.text.values())))

    def _known(self, name: str, column: list[str]) -> list[str | None]:
        reading = self._reading
        missing = (MISSING - {*reading.kept}) | {
            *reading.missing,
            *reading.sentinels.get(name, ()),
        }
        if reading.trim:
            trimmed = {cell: plain_blanks(trim(cell)) for cell in {*column}}
            column = [trimmed[cell] for cell in column]
        seen: dict[str, str | None] = dict.fromkeys(missing)
        return [seen.setdefault(cell, cell) for cell in column]

    def _numbers(self, name: str) -> list[float | None]:
        decimal = self._reading.decimals.get(name, self._reading.decimal)
        groups = self._reading.thousands or ""

        def parsed(cell: str) -> float | None:
            cell = cell.replace(MINUS, "-")
            for mark in groups:
                if mark != decimal:
                    cell = cell.replace(mark, "")
            cell = cell.replace(decimal, ".")
            try:
                return float(cell)
            except ValueError:
                return _beside(cell)

        return [None if cell is None else parsed(cell) for cell in self.text[name]]

    def _dates(self, name: str) -> list[datetime | None]:
        form = self._reading.formats.get(name)
        local = (form or "").removesuffix("%z")

        def bare(cell: str) -> str:
            return cell.strip() if local == form else OFFSET.sub("", cell.strip())

        @cache
        def parsed(cell: str) -> datetime | None:
            try:
                if form:
                    return datetime.strptime(bare(cell), local)  # noqa: DTZ007 - the clock's time
                return datetime.fromisoformat(cell.strip().replace("/", "-"))
            except ValueError:
                return None

        return [None if cell is None else parsed(cell) for cell in self.text[name]]

    def days(self, name: str) -> list[date | None]:
        """A date column without the time of day."""
        return [None if moment is None else moment.date() for moment in self.dates(name)]

    def _values(self, name: str) -> list[Value | None]:
        """A column by its kind: text as it is, whole numbers as int, booleans as bool."""
        kind = self.kinds.get(name, "text")
        if kind == "integer":
            both = zip(self.text[name], self.numbers(name), strict=True)
            return [None if x is None else _whole(cell or "", x) for cell, x in both]
        if kind == "number":
            return [*self.numbers(name)]
        if kind == "boolean":
            return [None if cell is None else _said(cell) for cell in self.text[name]]
        return [*self.text[name]]


def _beside(cell: str) -> float | None:
    """A number with a currency or a percent sign beside it; in brackets or before a minus, negative."""
    bare = BESIDE_NUMBERS.sub("", cell)
    negative = (bare.startswith("(") and bare.endswith(")")) or bare.endswith("-")
    try:
        value = float(bare.strip("()").removesuffix("-"))
    except ValueError:
        return None
    return -value if negative else value


def _whole(cell: str, value: float) -> int:
    """A whole number to its last digit, which a float may have lost."""
    return int(cell) if PLAIN_WHOLE.fullmatch(cell) else int(value)


def _said(cell: str) -> bool | None:
    word = cell.strip().lower()
    return True if word in TRUE else False if word in FALSE else None
