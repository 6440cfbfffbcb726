"""Aggregates of numbers: in words, in pandas, and in plain Python."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from datagen.questions.procedural.state import NEAR, Refused


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """`keeps`: of whole numbers it is a whole number. `additive`: groups add up to the total."""

    phrase: str
    pandas: str
    plain: Callable[[Sequence[float]], float]
    keeps: bool = False
    additive: bool = False

    def of(self, column: str) -> str:
        return self.phrase.format(f'"{column}"')


def _total(values: Sequence[float]) -> float:
    return sum(values) if all(isinstance(x, int) for x in values) else _fsum(values)


def _fsum(values: Sequence[float]) -> float:
    import math

    return math.fsum(values)


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 3:
        raise Refused("too few values for a deviation")
    return statistics.stdev(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile by linear interpolation between the two nearest ranks."""
    ranked = sorted(values)
    if not ranked:
        raise Refused("no value")
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return float(ranked[below] + (ranked[above] - ranked[below]) * (place - below))


AGGREGATES: Mapping[str, Aggregate] = {
    "mean": Aggregate(phrase="average {}", pandas="mean()", plain=statistics.fmean),
    "median": Aggregate(phrase="median {}", pandas="median()", plain=statistics.median),
    "total": Aggregate(phrase="total {}", pandas="sum()", plain=_total, keeps=True, additive=True),
    "maximum": Aggregate(phrase="maximum {}", pandas="max()", plain=max, keeps=True),
    "minimum": Aggregate(phrase="minimum {}", pandas="min()", plain=min, keeps=True),
    "deviation": Aggregate(
        phrase="sample standard deviation (n - 1) of {}", pandas="std()", plain=_deviation
    ),
}


def aggregate(name: str, values: Sequence[float]) -> float:
    """One aggregate. Raises Refused when there is nothing to aggregate, or only rounding is left of it."""
    if not values:
        raise Refused("no value")
    found = AGGREGATES[name].plain(values)
    if found != 0 and abs(found) < NEAR * max(abs(x) for x in values):
        raise Refused("a sum that cancels out")
    return found
