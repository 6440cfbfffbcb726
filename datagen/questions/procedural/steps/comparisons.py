"""Conditions that compare: numbers with limits, days with a window."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import ClassVar, Self

from datagen.questions.procedural.state import Rows, clear_of
from datagen.questions.procedural.step import (
    Condition,
    literal,
    middle,
    number,
    pick_use,
    words,
)

COMPARISONS = {
    ">": "greater than",
    ">=": "at least",
    "<": "less than",
    "<=": "at most",
}


@dataclass(frozen=True)
class KeepCompared(Condition):
    column: str
    sign: str
    limit: float
    op: ClassVar[str] = "keep_compared"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, rng.choice(["amount", "amount", "period"]), rng)
        present = rows.present(column.name) if column else []
        if column is None or len(set(present)) < 3:
            return None
        return cls(column.name, rng.choice([*COMPARISONS]), number(middle(present, rng)))

    def holds(self, rows: Rows) -> list[bool]:
        values = rows.values(self.column)
        clear_of(values, self.limit, exact=rows.exact(self.column))
        if self.sign.startswith(">"):
            found = [x is not None and x > self.limit for x in values]
        else:
            found = [x is not None and x < self.limit for x in values]
        if self.sign.endswith("="):
            found = [yes or x == self.limit for yes, x in zip(found, values, strict=True)]
        return found

    def mask(self, name: str) -> str:
        return f"{name}[{literal(self.column)}] {self.sign} {literal(self.limit)}"

    def clause(self) -> str:
        return f'"{self.column}" is {COMPARISONS[self.sign]} {words(self.limit)}'


@dataclass(frozen=True)
class KeepBetween(Condition):
    column: str
    low: float
    high: float
    op: ClassVar[str] = "keep_between"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, rng.choice(["amount", "period"]), rng)
        present = rows.present(column.name) if column else []
        if column is None or len(set(present)) < 5:
            return None
        low, high = sorted(number(middle(present, rng)) for _ in range(2))
        return cls(column.name, low, high) if low < high else None

    def holds(self, rows: Rows) -> list[bool]:
        values = rows.values(self.column)
        for limit in (self.low, self.high):
            clear_of(values, limit, exact=rows.exact(self.column))
        return [x is not None and self.low <= x <= self.high for x in values]

    def mask(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].between({literal(self.low)}, {literal(self.high)})"

    def clause(self) -> str:
        ends = f"{words(self.low)} and {words(self.high)}"
        return f'"{self.column}" lies between {ends} (both included)'


@dataclass(frozen=True)
class KeepDays(Condition):
    """A window of days, both included; `format` is how the file writes them."""

    column: str
    first: str
    last: str
    format: str | None
    op: ClassVar[str] = "keep_days"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "day", rng)
        present = rows.present(column.name) if column else []
        if column is None or len(set(present)) < 5:
            return None
        first, last = sorted(rng.choice(present) for _ in range(2))
        if first == last:
            return None
        return cls(column.name, first.isoformat(), last.isoformat(), column.format)

    def holds(self, rows: Rows) -> list[bool]:
        first, last = dt.date.fromisoformat(self.first), dt.date.fromisoformat(self.last)
        return [x is not None and first <= x <= last for x in rows.values(self.column)]

    def mask(self, name: str) -> str:
        window = f"{literal(self.first)}, {literal(self.last)}"
        return f"{days(name, self.column, self.format)}.between({window})"

    def clause(self) -> str:
        return f'"{self.column}" is from {self.first} to {self.last} (both days included)'


def days(name: str, column: str, format_: str | None) -> str:
    """The pandas expression of a column as dates, whether it was read as text or as dates."""
    how = f", format={literal(format_)}" if format_ else ""
    return f"pd.to_datetime({name}[{literal(column)}]{how})"
