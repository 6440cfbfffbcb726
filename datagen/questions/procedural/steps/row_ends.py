"""Answers from rows: statistics of a column."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Self

from datagen.questions.procedural.state import Answer, Refused, Rows
from datagen.questions.procedural.step import RowEnd, literal, pick, pick_use
from datagen.questions.procedural.steps.aggregate import AGGREGATES, aggregate, quantile
from datagen.questions.procedural.steps.labels import label_type


@dataclass(frozen=True)
class Count(RowEnd):
    op: ClassVar[str] = "count"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:  # noqa: ARG003
        return cls()

    def plain(self, rows: Rows) -> Answer:
        return Answer(len(rows), "integer", rows.notes)

    def expression(self, name: str) -> str:
        return f"len({name})"

    def question(self, these: str) -> str:
        return "how many are there?"


@dataclass(frozen=True)
class Statistic(RowEnd):
    column: str
    how: str
    op: ClassVar[str] = "statistic"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        return cls(column.name, rng.choice(["mean", *AGGREGATES])) if column else None

    def plain(self, rows: Rows) -> Answer:
        value = aggregate(self.how, rows.present(self.column))
        whole = AGGREGATES[self.how].keeps and rows.column(self.column).kind == "integer"
        return Answer(value, "integer" if whole else "number", rows.ignoring(self.column).notes)

    def expression(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].{AGGREGATES[self.how].pandas}"

    def question(self, these: str) -> str:
        return f"what is the {AGGREGATES[self.how].of(self.column)}?"


@dataclass(frozen=True)
class Quantile(RowEnd):
    column: str
    percent: int
    op: ClassVar[str] = "quantile"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        return cls(column.name, rng.choice([10, 20, 25, 75, 80, 90, 95])) if column else None

    def plain(self, rows: Rows) -> Answer:
        value = quantile(rows.present(self.column), self.percent / 100)
        return Answer(value, "number", rows.ignoring(self.column).notes)

    def expression(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].quantile({self.percent / 100})"

    def question(self, these: str) -> str:
        return f'what is the {self.percent}th percentile of "{self.column}" (linear interpolation)?'


@dataclass(frozen=True)
class Distinct(RowEnd):
    column: str
    op: ClassVar[str] = "distinct"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        fits = [c for c in rows.columns.values() if c.uses & {"label", "words", "period"}]
        column = pick(fits, rng)
        return cls(column.name) if column else None

    def plain(self, rows: Rows) -> Answer:
        found = len(set(rows.present(self.column)))
        if found == len(rows):
            raise Refused("all values differ")
        return Answer(found, "integer", rows.ignoring(self.column).notes)

    def expression(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].nunique()"

    def question(self, these: str) -> str:
        return f'how many different values does "{self.column}" have?'


@dataclass(frozen=True)
class MostCommon(RowEnd):
    column: str
    op: ClassVar[str] = "most_common"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick([c for c in rows.columns.values() if c.uses & {"label", "words"}], rng)
        return cls(column.name) if column else None

    def plain(self, rows: Rows) -> Answer:
        counts = Counter(rows.present(self.column)).most_common(2)
        if len(counts) < 2:
            raise Refused("fewer than two groups")
        if counts[0][1] == counts[1][1]:
            raise Refused("a tie")
        kind = label_type(rows.column(self.column).kind)
        return Answer(counts[0][0], kind, rows.ignoring(self.column).notes)

    def expression(self, name: str) -> str:
        return f"{name}[{literal(self.column)}].value_counts().idxmax()"

    def question(self, these: str) -> str:
        return f'what is the most common value of "{self.column}"?'


ROW_ENDS: tuple[type[RowEnd], ...] = (Count, Statistic, Quantile, Distinct, MostCommon)
