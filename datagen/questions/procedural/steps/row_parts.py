"""Answers from parts of rows: a look-up, a share, a day, one part against another."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Answer, Refused, Rows, border
from datagen.questions.procedural.step import Condition, RowEnd, literal, pick, pick_use
from datagen.questions.procedural.steps.aggregate import AGGREGATES, aggregate
from datagen.questions.procedural.steps.comparisons import days
from datagen.questions.procedural.steps.conditions import CONDITIONS, counting
from datagen.questions.procedural.steps.labels import label_words, present_labels

FEWEST_MET = 3


@dataclass(frozen=True)
class Lookup(RowEnd):
    """The value of a column in the row with the highest or lowest value of another."""

    wanted: str
    column: str
    highest: bool
    op: ClassVar[str] = "lookup"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        fits = [c for c in rows.columns.values() if c.uses & {"label", "words", "key"}]
        wanted = pick([c for c in fits if not c.computed and c.kind == "text"], rng)
        if column is None or wanted is None or wanted.name == column.name:
            return None
        return cls(wanted.name, column.name, rng.random() < 0.6)

    def plain(self, rows: Rows) -> Answer:
        inside = border(rows.present(self.column), 1, highest=self.highest)
        found = [
            x
            for x, other in zip(rows.values(self.wanted), rows.values(self.column), strict=True)
            if inside(other)
        ]
        if found[0] is None:
            raise Refused("no value")
        return Answer(found[0], "text", rows.notes)

    def expression(self, name: str) -> str:
        best = f"{name}[{literal(self.column)}].{'idxmax' if self.highest else 'idxmin'}()"
        return f"{name}.loc[{best}, {literal(self.wanted)}]"

    def question(self, these: str) -> str:
        which = "highest" if self.highest else "lowest"
        return f'what is the "{self.wanted}" of the row with the {which} "{self.column}"?'


@dataclass(frozen=True)
class Share(RowEnd):
    """The share of the rows that meet a condition, from 0 to 1."""

    condition: Condition
    op: ClassVar[str] = "share"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        condition = rng.choice(CONDITIONS).draw(rows, rng)
        return cls(condition) if condition else None

    def plain(self, rows: Rows) -> Answer:
        found = self.condition.holds(rows)
        if not FEWEST_MET <= sum(found) <= len(found) - FEWEST_MET:
            raise Refused("nearly none or all of the rows")
        return Answer(sum(found) / len(found), "number", counting(rows, self.condition).notes)

    def expression(self, name: str) -> str:
        return f"({self.condition.mask(name)}).mean()"

    def question(self, these: str) -> str:
        them = "all rows" if these == "all rows" else "them"
        return f"for what fraction (0 to 1) of {them} is it true that {self.condition.clause()}?"


@dataclass(frozen=True)
class LastDay(RowEnd):
    column: str
    format: str | None
    latest: bool
    op: ClassVar[str] = "last_day"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "day", rng)
        return cls(column.name, column.format, rng.random() < 0.5) if column else None

    def plain(self, rows: Rows) -> Answer:
        present = rows.present(self.column)
        if not present:
            raise Refused("no value")
        day = max(present) if self.latest else min(present)
        return Answer(day.isoformat(), "date", rows.notes)

    def expression(self, name: str) -> str:
        when = days(name, self.column, self.format)
        return f'{when}.{"max" if self.latest else "min"}().strftime("%Y-%m-%d")'

    def question(self, these: str) -> str:
        which = "latest" if self.latest else "earliest"
        return f'what is the {which} "{self.column}"?'


@dataclass(frozen=True)
class Contrast(RowEnd):
    """An average, median or total of one part of the rows against that of another part."""

    by: str
    first: Any
    second: Any
    how: str
    column: str
    of: str
    op: ClassVar[str] = "contrast"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick(rows.having("label"), rng)
        column = pick_use(rows, "amount", rng, but=by.name) if by else None
        labels = present_labels(rows, by.name) if by else []
        if by is None or column is None or len(labels) < 2:
            return None
        first, second = rng.sample(labels, 2)
        of = rng.choice(["mean", "mean", "median", "total", "maximum"])
        return cls(by.name, first, second, rng.choice(["ratio", "difference"]), column.name, of)

    def plain(self, rows: Rows) -> Answer:
        labels = rows.values(self.by)
        parts = []
        for wanted in (self.first, self.second):
            part = rows.keep(label == wanted for label in labels)
            parts.append(aggregate(self.of, part.present(self.column)))
        notes = rows.ignoring(self.column).notes
        if self.how == "difference":
            whole = AGGREGATES[self.of].keeps and rows.column(self.column).kind == "integer"
            return Answer(parts[0] - parts[1], "integer" if whole else "number", notes)
        if parts[1] <= 0 or parts[0] <= 0:
            raise Refused("a ratio of what is not positive")
        return Answer(parts[0] / parts[1], "number", notes)

    def expression(self, name: str) -> str:
        first, second = (
            f"{name}.loc[{name}[{literal(self.by)}] == {literal(label)}, {literal(self.column)}]"
            f".{AGGREGATES[self.of].pandas}"
            for label in (self.first, self.second)
        )
        return f"{first} {'/' if self.how == 'ratio' else '-'} {second}"

    def question(self, these: str) -> str:
        what = AGGREGATES[self.of].of(self.column)
        verb = "divided by" if self.how == "ratio" else "minus"
        first, second = (
            f'the {what} where "{self.by}" is {label_words(label)}'
            for label in (self.first, self.second)
        )
        return f"what is {first} {verb} {second}?"


ROW_PARTS: tuple[type[RowEnd], ...] = (Lookup, Share, LastDay, Contrast)
