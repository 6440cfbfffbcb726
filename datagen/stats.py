"""Base against adapter on the same questions: counts, an interval, a paired exact test."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracies are fractions from 0 to 1; ``difference`` is adapter minus base.

    ``wins``: questions only the adapter got right; ``losses``: only the base. ``mcnemar_p`` is
    McNemar's exact two-sided test on these two; 1.0 where they are both zero.
    """

    n: int
    base: float
    adapter: float
    difference: float
    mcnemar_p: float
    wins: int
    losses: int


def compare(base: Sequence[bool], adapter: Sequence[bool]) -> Comparison:
    """Compare paired outcomes, one per question in the same order; ValueError when they do not pair."""
    from scipy.stats import binomtest

    if len(base) != len(adapter) or not base:
        raise ValueError(f"{len(base)} outcomes of the base against {len(adapter)} of the adapter")
    pairs = list(zip(base, adapter, strict=True))
    wins = sum(a and not b for b, a in pairs)
    losses = sum(b and not a for b, a in pairs)
    decided = wins + losses
    n = len(pairs)
    return Comparison(
        n=n,
        base=sum(base) / n,
        adapter=sum(adapter) / n,
        difference=(wins - losses) / n,
        # McNemar's exact test is the binomial test on the discordant pairs.
        mcnemar_p=float(binomtest(wins, decided, 0.5).pvalue) if decided else 1.0,
        wins=wins,
        losses=losses,
    )


def wilson(k: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for ``k`` right of ``n`` (n > 0), as fractions."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
