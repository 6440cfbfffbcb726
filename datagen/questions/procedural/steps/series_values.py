"""Answers from one number for each group: a value of theirs, or how many have one."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from typing import ClassVar, Self

from datagen.questions.procedural.state import Answer, Refused, Series, apart
from datagen.questions.procedural.step import SeriesEnd, literal, middle, number, words


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


VALUE_ENDS: tuple[type[SeriesEnd], ...] = (ExtremeValue, Gap, Middle, HowManyGroups)
