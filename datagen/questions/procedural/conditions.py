"""Conditions: which rows a program keeps."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows, clear_of
from datagen.questions.procedural.step import (
    Condition,
    joined,
    literal,
    middle,
    number,
    pick_use,
    words,
)
from datagen.verify import AnswerType


def label_words(value: object) -> str:
    """A label as a question shows it: text in quotes, a number as it is."""
    return f'"{value}"' if isinstance(value, str) else words(value)


def present_labels(rows: Rows, name: str) -> list[Any]:
    return sorted(set(rows.present(name)))


def label_type(kind: str) -> AnswerType:
    """The answer type of a label of a column of this kind."""
    return "integer" if kind == "integer" else "boolean" if kind == "boolean" else "text"


def counting(rows: Rows, condition: Condition) -> Rows:
    """These rows, with a note where a missing value meets no condition but its row counts all the same."""
    if isinstance(condition, KeepGiven) or None not in rows.values(condition.column):
        return rows
    return rows.note(
        f'A row without "{condition.column}" does not meet the condition, but counts as a row.'
    )


@dataclass(frozen=True)
class KeepEqual(Condition):
    column: str
    value: Any
    op: ClassVar[str] = "keep_equal"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "label", rng)
        labels = present_labels(rows, column.name) if column else []
        return cls(column.name, rng.choice(labels)) if column and len(labels) > 1 else None

    def holds(self, rows: Rows) -> list[bool]:
        return [x == self.value for x in rows.values(self.column)]

    def mask(self, name: str) -> str:
        return f"{name}[{literal(self.column)}] == {literal(self.value)}"

    def clause(self) -> str:
        return f'"{self.column}" is {label_words(self.value)}'


@dataclass(frozen=True)
class KeepOther(Condition):
    """Rows with another value; `gaps`: some rows have none, and they are not kept."""

    column: str
    value: Any
    gaps: bool
    op: ClassVar[str] = "keep_other"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "label", rng)
        labels = present_labels(rows, column.name) if column else []
        if column is None or len(labels) < 3:
            return None
        return cls(column.name, rng.choice(labels), None in rows.values(column.name))

    def holds(self, rows: Rows) -> list[bool]:
        return [x is not None and x != self.value for x in rows.values(self.column)]

    def mask(self, name: str) -> str:
        column = f"{name}[{literal(self.column)}]"
        other = f"{column} != {literal(self.value)}"
        return f"({other}) & {column}.notna()" if self.gaps else other

    def clause(self) -> str:
        gaps = " (and not missing)" if self.gaps else ""
        return f'"{self.column}" is not {label_words(self.value)}{gaps}'


@dataclass(frozen=True)
class KeepAmong(Condition):
    column: str
    among: tuple[Any, ...]
    op: ClassVar[str] = "keep_among"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "label", rng)
        labels = present_labels(rows, column.name) if column else []
        if column is None or len(labels) < 4:
            return None
        size = rng.randint(2, min(3, len(labels) - 2))
        return cls(column.name, tuple(sorted(rng.sample(labels, size))))

    def holds(self, rows: Rows) -> list[bool]:
        return [x in self.among for x in rows.values(self.column)]

    def mask(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].isin({literal(self.among)})"

    def clause(self) -> str:
        return f'"{self.column}" is {joined([label_words(v) for v in self.among], "or")}'


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


@dataclass(frozen=True)
class KeepGiven(Condition):
    """Rows in which a value is missing, or is not."""

    column: str
    missing: bool
    op: ClassVar[str] = "keep_given"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        gaps = [c for c in rows.columns.values() if not c.computed and None in rows.values(c.name)]
        return cls(rng.choice(gaps).name, rng.random() < 0.5) if gaps else None

    def holds(self, rows: Rows) -> list[bool]:
        return [(x is None) == self.missing for x in rows.values(self.column)]

    def mask(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].{'isna' if self.missing else 'notna'}()"

    def clause(self) -> str:
        return f'"{self.column}" is {"missing" if self.missing else "not missing"}'


@dataclass(frozen=True)
class KeepText(Condition):
    """Rows whose text starts with, ends with or contains something, whatever the case."""

    column: str
    how: str
    part: str
    op: ClassVar[str] = "keep_text"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "words", rng)
        present = [x for x in rows.present(column.name) if len(x) > 2] if column else []
        if column is None or len(set(present)) < 5:
            return None
        how, text = rng.choice(["startswith", "endswith", "contains"]), rng.choice(present)
        size = rng.randint(1, min(4, len(text) - 1))
        at = {"startswith": 0, "endswith": len(text) - size}.get(how, len(text) // 2)
        part = text[at : at + size]
        return cls(column.name, how, part) if part.isalnum() else None

    def holds(self, rows: Rows) -> list[bool]:
        values = rows.values(self.column)
        exact = [x is not None and self._fits(x, self.part) for x in values]
        loose = [x is not None and self._fits(x.lower(), self.part.lower()) for x in values]
        if exact != loose:
            raise Refused("upper and lower case would matter")
        return exact

    def _fits(self, text: str, part: str) -> bool:
        if self.how == "contains":
            return part in text
        return text.startswith(part) if self.how == "startswith" else text.endswith(part)

    def mask(self, name: str) -> str:
        extra = ", regex=False" if self.how == "contains" else ""
        column = f"{name}[{literal(self.column)}]"
        return f"{column}.str.{self.how}({literal(self.part)}{extra}).fillna(False).astype(bool)"

    def clause(self) -> str:
        how = {"startswith": "starts with", "endswith": "ends with"}.get(self.how, self.how)
        return f'"{self.column}" {how} "{self.part}"'


def days(name: str, column: str, format_: str | None) -> str:
    """The pandas expression of a column as dates, whether it was read as text or as dates."""
    how = f", format={literal(format_)}" if format_ else ""
    return f"pd.to_datetime({name}[{literal(column)}]{how})"


CONDITIONS: tuple[type[Condition], ...] = (
    KeepEqual,
    KeepOther,
    KeepAmong,
    KeepCompared,
    KeepBetween,
    KeepDays,
    KeepGiven,
    KeepText,
)
