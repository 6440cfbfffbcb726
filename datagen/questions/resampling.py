"""Resampling, the one truth that SQL cannot say: the question names the generator and every draw from it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from datagen.questions.family import Truth, Unasked

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw

ROUNDS = 200
LARGEST = 20_000
LEVELS: Mapping[str, Callable[[list[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
}


def _seed(draw: Draw) -> int:
    return cast("int", draw.bound["seed"].value)


def _draws(rows: Sequence[tuple[Any, ...]], draw: Draw) -> list[float]:
    """The mean or median of 200 samples with replacement, seeded with slot `seed`."""
    import numpy as np

    values, size = [float(row[0]) for row in rows], len(rows)
    if size > LARGEST:
        raise Unasked("too many values")
    rng = np.random.default_rng(_seed(draw))
    level = LEVELS[str(draw.bound["agg"].value)]
    return [level([values[at] for at in rng.integers(0, size, size)]) for _ in range(ROUNDS)]


def bootstrap_bound(rows: Sequence[tuple[Any, ...]], draw: Draw) -> Truth:
    """The 2.5th or 97.5th percentile of the draws, by linear interpolation."""
    cuts = statistics.quantiles(_draws(rows, draw), n=40, method="inclusive")
    return cuts[0] if draw.bound["end"].value == "lower" else cuts[-1]


def bootstrap_error(rows: Sequence[tuple[Any, ...]], draw: Draw) -> Truth:
    """The sample standard deviation of the draws."""
    return statistics.stdev(_draws(rows, draw))


def permutation(rows: Sequence[tuple[Any, ...]], draw: Draw) -> Truth:
    """A permutation test of two means: rows of (whether it is of the first sample, value), the first first."""
    import numpy as np

    both = [float(x) for _, x in rows]
    cut = sum(bool(first) for first, _ in rows)
    if len(both) > LARGEST:
        raise Unasked("too many values")
    rng = np.random.default_rng(_seed(draw))
    mean = statistics.fmean
    seen, extreme = abs(mean(both[:cut]) - mean(both[cut:])), 0
    for _ in range(ROUNDS):
        mixed = [both[at] for at in rng.permutation(len(both))]
        gap = abs(mean(mixed[:cut]) - mean(mixed[cut:]))
        if abs(gap - seen) <= 1e-9 * max(1.0, seen):
            raise Unasked("border")
        extreme += gap > seen
    if not extreme:
        raise Unasked("degenerate")
    return (extreme + 1) / (ROUNDS + 1)
