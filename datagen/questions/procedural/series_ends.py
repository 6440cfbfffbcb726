"""Answers from one number for each group."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.conditions import label_type
from datagen.questions.procedural.state import Answer, Refused, Series, apart
from datagen.questions.procedural.step import SeriesEnd, literal, middle, number, words


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
class ExtremeValue(SeriesEnd):
    highest: bool
    op: ClassVar[str] = "extreme_value"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:  # noqa: ARG003
        return cls(rng.random() < 0.6)

    def plain(self, series: Series) -> Answer:
        value = max(series.values) if self.highest else min(series.values)
        return Answer(value, "integer" if series.whole else "number", series.notes)

    def expression(self) -> str:
        return f"groups.{'max' if self.highest else 'min'}()"

    def question(self, by: str, measure: str) -> str:
        return (
            f'what is the {"highest" if self.highest else "lowest"} {measure} of any "{by}" group?'
        )


@dataclass(frozen=True)
class Gap(SeriesEnd):
    direct: ClassVar[bool] = False
    how: str
    op: ClassVar[str] = "gap"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        return cls(
            rng.choice(["difference", "ratio"] if min(series.values) > 0 else ["difference"])
        )

    def plain(self, series: Series) -> Answer:
        high, low = max(series.values), min(series.values)
        if self.how == "difference":
            return Answer(high - low, "integer" if series.whole else "number", series.notes)
        if low <= 0:
            raise Refused("a division by zero")
        return Answer(high / low, "number", series.notes)

    def expression(self) -> str:
        return f"groups.max() {'-' if self.how == 'difference' else '/'} groups.min()"

    def question(self, by: str, measure: str) -> str:
        if self.how == "difference":
            return f"what is the difference between the highest and the lowest of the {measure}s?"
        return f"what is the highest of the {measure}s divided by the lowest?"


@dataclass(frozen=True)
class Middle(SeriesEnd):
    """The mean or the median of the groups' values, each group counting once."""

    direct: ClassVar[bool] = False

    how: str
    op: ClassVar[str] = "middle_of_groups"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        return cls(rng.choice(["mean", "median"])) if len(series.values) > 2 else None

    def plain(self, series: Series) -> Answer:
        plain = statistics.fmean if self.how == "mean" else statistics.median
        return Answer(plain(series.values), "number", series.notes)

    def expression(self) -> str:
        return f"groups.{self.how}()"

    def question(self, by: str, measure: str) -> str:
        what = "average" if self.how == "mean" else "median"
        return f"what is the {what} of the {measure}s?"


@dataclass(frozen=True)
class HowManyGroups(SeriesEnd):
    """How many groups have a value beyond a limit."""

    direct: ClassVar[bool] = False

    above: bool
    limit: float
    op: ClassVar[str] = "how_many_groups"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        if len(series.values) < 4:
            return None
        return cls(rng.random() < 0.6, number(middle(series.values, rng)))

    def plain(self, series: Series) -> Answer:
        return Answer(len(self._beyond(series)), "integer", series.notes)

    def _beyond(self, series: Series) -> list[int]:
        for x in series.values:
            if x != self.limit and not apart(x, self.limit):
                raise Refused("a value on the border")
        found = [
            at
            for at, x in enumerate(series.values)
            if (x > self.limit if self.above else x < self.limit)
        ]
        if len(found) < 2 or len(found) == len(series.values):
            raise Refused("nearly none or all of the groups")
        return found

    def expression(self) -> str:
        return f"(groups {'>' if self.above else '<'} {literal(self.limit)}).sum()"

    def question(self, by: str, measure: str) -> str:
        side = "greater" if self.above else "less"
        return f'for how many "{by}" groups is the {measure} {side} than {words(self.limit)}?'


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


SERIES_ENDS: tuple[type[SeriesEnd], ...] = (
    TopLabel,
    SecondLabel,
    TopLabels,
    ExtremeValue,
    Gap,
    Middle,
    HowManyGroups,
    FirstBeyond,
)
