"""Conditions: which rows a program keeps."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows
from datagen.questions.procedural.step import (
    Condition,
    joined,
    literal,
    pick_use,
)
from datagen.questions.procedural.steps.comparisons import KeepBetween, KeepCompared, KeepDays
from datagen.questions.procedural.steps.labels import label_words, present_labels


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
