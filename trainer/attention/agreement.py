"""Whether two ways to compute the same thing agree: judged by rounding measured there and then, not by a constant.

Every figure is a mean over tokens of the difference of log-probabilities, in nats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# A difference is rounding up to so many times what two exact ways to compute the same differ by.
FACTOR = 4.0
# Or up to this share of what the fault would change: kernels with fewer bits (TF32) are off by as much.
SHARE = 1e-3
# What fp32 cannot tell apart in a log-probability.
FLOOR = 1e-5


@dataclass(frozen=True, slots=True)
class Agreement:
    """``rows``: (tokens, difference between the two ways) of each row.

    ``rounding``: what two exact ways differ by. ``fault``: what the fault that is looked for would change.
    Both are of the row that differs most.
    """

    rows: list[tuple[int, float]]
    rounding: float
    fault: float

    @property
    def apart(self) -> float:
        return largest(apart for _, apart in self.rows)

    @property
    def limit(self) -> float:
        """The largest difference that is rounding."""
        return max(FACTOR * self.rounding, SHARE * self.fault, FLOOR)

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding; false for one that is not a number."""
        return self.apart <= self.limit


def apart(left: Sequence[Any], right: Sequence[Any]) -> list[float]:
    """Return the mean absolute difference of each pair of tensors, infinite where their shapes differ."""
    return [_mean(a, b) for a, b in zip(left, right, strict=True)]


def _mean(a: Any, b: Any) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().mean()) if a.numel() else 0.0


def largest(values: Iterable[float]) -> float:
    """Return the largest value, not-a-number if one is, 0 without any."""
    found = list(values)
    return next((value for value in found if value != value), max(found, default=0.0))  # noqa: PLR0124
