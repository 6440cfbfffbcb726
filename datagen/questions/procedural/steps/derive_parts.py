"""Steps that read something off a date or a text."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Rows, Use
from datagen.questions.procedural.step import RowStep, literal, pick_use
from datagen.questions.procedural.steps.comparisons import days
from datagen.questions.procedural.steps.derive import assign, each


@dataclass(frozen=True)
class DayPart(RowStep):
    narrows: ClassVar[bool] = False
    column: str
    part: str
    format: str | None
    op: ClassVar[str] = "derive_day_part"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "day", rng)
        part = rng.choice(["year", "month", "month", "weekday"])
        return cls(column.name, part, column.format) if column else None

    def plain(self, rows: Rows) -> Rows:
        read: Callable[[Any], Any] = {
            "year": lambda day: day.year,
            "month": lambda day: day.month,
            "weekday": lambda day: WEEKDAYS[day.weekday()],
        }[self.part]
        values = [None if day is None else read(day) for day in rows.values(self.column)]
        kind = "text" if self.part == "weekday" else "integer"
        uses: set[Use] = {"label"} if self.part == "weekday" else {"label", "period"}
        return rows.add(self.part, kind, uses, values)

    def makes(self) -> tuple[str, ...]:
        return (self.part,)

    def code(self, name: str) -> str:
        read = "day_name()" if self.part == "weekday" else self.part
        return assign(name, self.part, f"{days(name, self.column, self.format)}.dt.{read}")

    def sentence(self, these: str) -> str:
        what = {
            "year": "the year",
            "month": "the month (1 to 12)",
            "weekday": 'the English name of the weekday ("Monday" to "Sunday")',
        }[self.part]
        return f'{each(these)}, let "{self.part}" be {what} of "{self.column}".'


WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True)
class Length(RowStep):
    narrows: ClassVar[bool] = False
    column: str
    op: ClassVar[str] = "derive_length"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "words", rng)
        if column is None or len({len(x) for x in rows.present(column.name)}) < 3:
            return None
        return cls(column.name)

    def plain(self, rows: Rows) -> Rows:
        lengths = [None if x is None else len(x) for x in rows.values(self.column)]
        noted = rows.ignoring(self.column)
        return noted.add("length", "integer", {"amount", "label"}, lengths)

    def makes(self) -> tuple[str, ...]:
        return ("length",)

    def code(self, name: str) -> str:
        return assign(name, "length", f"{name}[{literal(self.column)}].str.len()")

    def sentence(self, these: str) -> str:
        return f'{each(these)}, let "length" be the number of characters of "{self.column}".'


PARTS: tuple[type[RowStep], ...] = (DayPart, Length)
