"""Whether two ways to compute the same values agree, judged by rounding measured on the same rows and device.

Every figure is a mean over tokens of the difference of log-probabilities, in nats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

Tensors = Sequence[Any]

# A difference counts as rounding up to this many times the difference of two exact ways.
FACTOR = 4.0
# Or up to this share of the fault's effect: kernels with fewer bits (TF32) differ by as much.
SHARE = 1e-3
# The resolution of fp32 in a log-probability.
FLOOR = 1e-5


@dataclass(frozen=True, slots=True)
class Agreement:
    """``rows``: (tokens, difference between the two ways) of each row.

    ``rounding``: the difference of two exact ways. ``fault``: the difference that the suspected fault would
    make. Both are of the row that differs most.
    """

    rows: list[tuple[int, float]]
    rounding: float
    fault: float

    @classmethod
    def of(
        cls,
        lengths: Iterable[int],
        tested: Tensors,
        own: Tensors,
        *,
        exact: Tensors,
        faulty: Tensors,
    ) -> Self:
        """Compare each row of ``tested`` with ``own``; see the class for ``exact`` and ``faulty`` ways."""
        rows = list(zip(lengths, apart(tested, own), strict=True))
        return cls(rows, largest(apart(exact, own)), largest(apart(faulty, own)))

    @property
    def apart(self) -> float:
        return largest(apart for _, apart in self.rows)

    @property
    def limit(self) -> float:
        """The largest difference that is rounding."""
        return max(FACTOR * self.rounding, SHARE * self.fault, FLOOR)

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding; false for NaN."""
        return self.apart <= self.limit


def apart(left: Tensors, right: Tensors) -> list[float]:
    """Return the mean absolute difference of each pair of tensors, infinite where their shapes differ."""
    return [_mean(a, b) for a, b in zip(left, right, strict=True)]


def _mean(a: Any, b: Any) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().mean()) if a.numel() else 0.0


def largest(values: Iterable[float]) -> float:
    """Return the largest value, NaN if any is, 0 without any."""
    found = list(values)
    return next((value for value in found if value != value), max(found, default=0.0))  # noqa: PLR0124
