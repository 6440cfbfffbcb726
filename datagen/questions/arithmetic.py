"""Statistics of plain lists, by their textbook formulas: the truth's own route, without numpy."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from datagen.questions.family import Unasked

Numbers = Sequence[float]
K = TypeVar("K", bound=Hashable)


def mean(values: Numbers) -> float:
    return statistics.fmean(_some(values))


def median(values: Numbers) -> float:
    return statistics.median(_some(values))


def _some(values: Numbers) -> Numbers:
    if not values:
        raise Unasked("too few values")
    return values


AGGREGATES: Mapping[str, Callable[[Numbers], float]] = {
    "mean": mean,
    "median": median,
    "highest": max,
    "lowest": min,
    "total": math.fsum,
}


def variance(values: Numbers, ddof: int = 1) -> float:
    """Sum of squared deviations from the mean over n - ddof."""
    if len(values) <= max(ddof, 1):
        raise Unasked("too few values")
    middle = mean(values)
    return math.fsum((x - middle) ** 2 for x in values) / (len(values) - ddof)


def deviation(values: Numbers, ddof: int = 1) -> float:
    return math.sqrt(variance(values, ddof))


def quantile(values: Numbers, share: float, kind: str = "linear") -> float:
    """The value at (n - 1) * share of the sorted values; between two, by `kind`."""
    ordered = sorted(values)
    if not ordered:
        raise Unasked("too few values")
    at = (len(ordered) - 1) * share
    low, high = ordered[math.floor(at + 1e-9)], ordered[math.ceil(at - 1e-9)]
    if kind == "lower":
        return low
    if kind == "higher":
        return high
    return low + (high - low) * (at - math.floor(at + 1e-9))


def pearson(pairs: Sequence[tuple[float, float]]) -> float:
    """Covariance over the product of the deviations."""
    if len(pairs) < 5:
        raise Unasked("too few values")
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    mx, my = mean(xs), mean(ys)
    across = math.fsum((x - mx) * (y - my) for x, y in pairs)
    scale = math.sqrt(math.fsum((x - mx) ** 2 for x in xs) * math.fsum((y - my) ** 2 for y in ys))
    if not scale:
        raise Unasked("no variation")
    return across / scale


def ranks(values: Numbers) -> list[float]:
    """Ranks from 1; equal values share the mean of their ranks."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), 1):
        places.setdefault(value, []).append(place)
    shared = {value: mean(found) for value, found in places.items()}
    return [shared[value] for value in values]


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson's correlation of the ranks."""
    if len(pairs) < 5:
        raise Unasked("too few values")
    return pearson([*zip(ranks([x for x, _ in pairs]), ranks([y for _, y in pairs]), strict=True)])


def line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line of y on x."""
    if len(pairs) < 5:
        raise Unasked("too few values")
    mx, my = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
    spread = math.fsum((x - mx) ** 2 for x, _ in pairs)
    if not spread:
        raise Unasked("no variation")
    slope = math.fsum((x - mx) * (y - my) for x, y in pairs) / spread
    return slope, my - slope * mx


def solve(matrix: Sequence[Sequence[float]], right: Numbers) -> list[float]:
    """The solution of a square linear system, by elimination with pivots."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for at in range(size):
        pivot = max(range(at, size), key=lambda r: abs(rows[r][at]))
        if abs(rows[pivot][at]) < 1e-12:
            raise Unasked("columns depend on each other")
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            rows[below] = [x - factor * y for x, y in zip(rows[below], rows[at], strict=True)]
    found = [0.0] * size
    for at in reversed(range(size)):
        known = math.fsum(rows[at][k] * found[k] for k in range(at + 1, size))
        found[at] = (rows[at][size] - known) / rows[at][at]
    return found


def close(a: float, b: float) -> bool:
    """Whether two floating-point routes could order these two either way."""
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))


def top(scores: Mapping[K, float], count: int = 1, *, lowest: bool = False) -> list[K]:
    """The keys with the highest (lowest) scores, best first. A tie there is no answer."""
    ranked = sorted(scores, key=lambda key: scores[key], reverse=not lowest)
    if len(ranked) <= count:
        raise Unasked("too few groups")
    if any(close(scores[a], scores[b]) for a, b in itertools.pairwise(ranked[: count + 1])):
        raise Unasked("tie")
    return ranked[:count]


def border(values: Iterable[float], limit: float) -> None:
    """Refuse a comparison that the last bits of a computed limit decide."""
    if any(x != limit and close(x, limit) for x in values):
        raise Unasked("border")
