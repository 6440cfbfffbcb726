"""Answers from one number for each group: which group it is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Answer, Refused, Series, apart
from datagen.questions.procedural.step import SeriesEnd, literal, middle, number, words
from datagen.questions.procedural.steps.labels import label_type


def ranked(series: Series, *, highest: bool) -> list[Any]:
    """The labels by value. Raises Refused when neighbours are equal."""
    order = sorted(range(len(series.values)), key=series.values.__getitem__, reverse=highest)
    if len(order) < 2:
        raise Refused("fewer than two groups")
    return [series.labels[at] for at in order]


def distinct_at(series: Series, place: int, *, highest: bool) -> None:
    """Raise Refused when the value at a rank equals the next one."""
    values = sorted(series.values, reverse=highest)
    if not apart(values[place], values[place + 1]):
        raise Refused("a tie")


@dataclass(frozen=True)
class TopLabel(SeriesEnd):
    highest: bool
    op: ClassVar[str] = "top_label"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:  # noqa: ARG003
        return cls(rng.random() < 0.6)

    def plain(self, series: Series) -> Answer:
        labels = ranked(series, highest=self.highest)
        distinct_at(series, 0, highest=self.highest)
        return Answer(labels[0], label_type(series.kind), series.notes)

    def expression(self) -> str:
        return f"groups.{'idxmax' if self.highest else 'idxmin'}()"

    def question(self, by: str, measure: str) -> str:
        return f'which "{by}" has the {"highest" if self.highest else "lowest"} {measure}?'


@dataclass(frozen=True)
class SecondLabel(SeriesEnd):
    highest: bool
    op: ClassVar[str] = "second_label"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        return cls(rng.random() < 0.6) if len(series.labels) > 2 else None

    def plain(self, series: Series) -> Answer:
        labels = ranked(series, highest=self.highest)
        if len(labels) < 3:
            raise Refused("fewer than three groups")
        for place in (0, 1):
            distinct_at(series, place, highest=self.highest)
        return Answer(labels[1], label_type(series.kind), series.notes)

    def expression(self) -> str:
        return f"groups.sort_values(ascending={not self.highest}).index[1]"

    def question(self, by: str, measure: str) -> str:
        which = "second-highest" if self.highest else "second-lowest"
        return f'which "{by}" has the {which} {measure}?'


@dataclass(frozen=True)
class TopLabels(SeriesEnd):
    count: int
    highest: bool
    op: ClassVar[str] = "top_labels"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        sizes = [n for n in (2, 3, 4, 5) if n < len(series.labels)]
        return cls(rng.choice(sizes), rng.random() < 0.6) if sizes else None

    def plain(self, series: Series) -> Answer:
        labels = ranked(series, highest=self.highest)
        if len(labels) <= self.count:
            raise Refused("a top n that takes all")
        for place in range(self.count):
            distinct_at(series, place, highest=self.highest)
        return Answer(labels[: self.count], "list", series.notes)

    def expression(self) -> str:
        how = "nlargest" if self.highest else "nsmallest"
        return f"groups.{how}({self.count}).index.tolist()"

    def question(self, by: str, measure: str) -> str:
        which, order = ("highest", "highest first") if self.highest else ("lowest", "lowest first")
        return (
            f'which {self.count} values of "{by}" have the {which} {measure}? '
            f"Answer with a list, {order}."
        )


@dataclass(frozen=True)
class FirstBeyond(SeriesEnd):
    """The earliest period with a value beyond a limit."""

    above: bool
    limit: float
    op: ClassVar[str] = "first_beyond"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        if not series.ordered or len(series.values) < 5:
            return None
        return cls(rng.random() < 0.6, number(middle(series.values, rng)))

    def plain(self, series: Series) -> Answer:
        if not series.ordered:
            raise Refused("an order without time")
        for x in series.values:
            if x != self.limit and not apart(x, self.limit):
                raise Refused("a value on the border")
        found = [
            label
            for label, x in zip(series.labels, series.values, strict=True)
            if (x > self.limit if self.above else x < self.limit)
        ]
        if not found or found[0] == series.labels[0]:
            raise Refused("the first is the very first")
        return Answer(found[0], label_type(series.kind), series.notes)

    def expression(self) -> str:
        sign = ">" if self.above else "<"
        return f"groups[groups {sign} {literal(self.limit)}].index.min()"

    def question(self, by: str, measure: str) -> str:
        side = "greater" if self.above else "less"
        return f'what is the earliest "{by}" with a {measure} {side} than {words(self.limit)}?'


LABEL_ENDS: tuple[type[SeriesEnd], ...] = (TopLabel, SecondLabel, TopLabels, FirstBeyond)
