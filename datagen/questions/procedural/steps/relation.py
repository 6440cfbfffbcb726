"""Answers about two columns at once: correlation, slope, weighted average."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from datagen.questions.procedural.state import Answer, Refused, Rows, apart
from datagen.questions.procedural.step import RowEnd, literal, pick_use

FEWEST_PAIRS = 8


def pairs(rows: Rows, first: str, second: str) -> tuple[list[float], list[float], Rows]:
    """The values of the rows that have both."""
    both = zip(rows.values(first), rows.values(second), strict=True)
    kept = [(a, b) for a, b in both if a is not None and b is not None]
    if len(kept) < FEWEST_PAIRS:
        raise Refused("too few rows are left")
    left, right = [a for a, _ in kept], [b for _, b in kept]
    if len(set(left)) < 3 or len(set(right)) < 3:
        raise Refused("nearly constant")
    noted = rows
    if len(kept) < len(rows):
        noted = rows.note(f'Use only rows that have both "{first}" and "{second}".')
    return left, right, noted


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for place in order[at:end]:
            ranks[place] = (at + 1 + end) / 2
        at = end
    return ranks


def _touching(values: Sequence[float]) -> bool:
    """Whether two of the values are equal or nearly so."""
    return not all(apart(a, b) for a, b in pairwise(sorted(values)))


def _two(rows: Rows, rng: random.Random) -> tuple[str, str] | None:
    first = pick_use(rows, "amount", rng)
    second = pick_use(rows, "amount", rng, but=first.name) if first else None
    return (first.name, second.name) if first and second else None


@dataclass(frozen=True)
class Correlation(RowEnd):
    first: str
    second: str
    how: str
    op: ClassVar[str] = "correlation"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        two = _two(rows, rng)
        return cls(*two, rng.choice(["pearson", "spearman"])) if two else None

    def plain(self, rows: Rows) -> Answer:
        left, right, noted = pairs(rows, self.first, self.second)
        if self.how == "spearman":
            for name, values in ((self.first, left), (self.second, right)):
                if not rows.exact(name) and _touching(values):
                    raise Refused("ranks that rounding decides")
            left, right = _ranks(left), _ranks(right)
        value = statistics.correlation(left, right)
        if abs(value) > 0.9999:
            raise Refused("a perfect correlation")
        return Answer(value, "number", noted.notes)

    def expression(self, name: str) -> str:
        first, second = (f"{name}[{literal(column)}]" for column in (self.first, self.second))
        method = ', method="spearman"' if self.how == "spearman" else ""
        return f"{first}.corr({second}{method})"

    def question(self, these: str) -> str:
        kind = "Pearson correlation" if self.how == "pearson" else "Spearman rank correlation"
        return f'what is the {kind} between "{self.first}" and "{self.second}"?'


@dataclass(frozen=True)
class Slope(RowEnd):
    x: str
    y: str
    op: ClassVar[str] = "slope"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        two = _two(rows, rng)
        return cls(*two) if two else None

    def plain(self, rows: Rows) -> Answer:
        x, y, noted = pairs(rows, self.x, self.y)
        return Answer(statistics.linear_regression(x, y).slope, "number", noted.notes)

    def before(self, name: str) -> str:
        return f"pairs = {name}[[{literal(self.x)}, {literal(self.y)}]].dropna()"

    def expression(self, name: str) -> str:
        return f"np.polyfit({name}[{literal(self.x)}], {name}[{literal(self.y)}], 1)[0]"

    def question(self, these: str) -> str:
        return (
            f'what is the slope of the least-squares line (with intercept) that predicts "{self.y}" '
            f'from "{self.x}"?'
        )


@dataclass(frozen=True)
class WeightedMean(RowEnd):
    column: str
    weight: str
    op: ClassVar[str] = "weighted_mean"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        two = _two(rows, rng)
        if two is None or rows.column(two[1]).computed or min(rows.present(two[1])) < 0:
            return None
        return cls(*two)

    def plain(self, rows: Rows) -> Answer:
        values, weights, noted = pairs(rows, self.column, self.weight)
        if min(weights) < 0 or sum(weights) == 0:
            raise Refused("a weight that is not positive")
        total = math.fsum(x * w for x, w in zip(values, weights, strict=True))
        return Answer(total / math.fsum(weights), "number", noted.notes)

    def before(self, name: str) -> str:
        return f"pairs = {name}[[{literal(self.column)}, {literal(self.weight)}]].dropna()"

    def expression(self, name: str) -> str:
        column, weight = literal(self.column), literal(self.weight)
        return f"np.average({name}[{column}], weights={name}[{weight}])"

    def question(self, these: str) -> str:
        return f'what is the average "{self.column}" weighted by "{self.weight}"?'


RELATIONS: tuple[type[RowEnd], ...] = (Correlation, Slope, WeightedMean)
