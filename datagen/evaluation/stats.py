"""Base against adapter on the same questions: counts, intervals, a paired exact test, what n can show."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONFIDENCE = 0.95
POWER = 0.80
RESAMPLES = 9_999
ENOUGH_CLUSTERS = 10
"""Below this many tables a bootstrap over tables is known to be too narrow."""
DISCORDANT = 0.25
"""Share of questions on which two models differ, assumed where none were seen to."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Accuracies are fractions from 0 to 1; ``difference`` is adapter minus base.

    ``wins``: questions only the adapter got right; ``losses``: only the base; ``ties``: both or
    neither. ``mcnemar_p`` is McNemar's exact two-sided test on wins and losses; 1.0 where they are
    both zero.
    """

    n: int
    base: float
    adapter: float
    difference: float
    mcnemar_p: float
    wins: int
    losses: int
    ties: int


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
        ties=n - decided,
    )


def clustered_interval(
    differences: Sequence[float], clusters: Sequence[str], *, seed: int = 0
) -> tuple[float, float] | None:
    """Return the bootstrap interval of the mean difference, drawing whole clusters (tables).

    Questions about one table are right or wrong together, so drawing questions would be too sure of
    itself (Miller 2024, arXiv 2411.00640). Percentile method; None for fewer than two clusters.
    """
    import numpy as np
    from scipy.stats import bootstrap

    groups: defaultdict[str, list[float]] = defaultdict(list)
    for difference, cluster in zip(differences, clusters, strict=True):
        groups[cluster].append(difference)
    if len(groups) < 2:
        return None
    sums = np.array([sum(values) for values in groups.values()])
    counts = np.array([len(values) for values in groups.values()])

    def mean(total: Any, count: Any, axis: int = -1) -> Any:
        return total.sum(axis=axis) / count.sum(axis=axis)

    found = bootstrap(
        (sums, counts),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1_000,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def smallest_difference(n: int, discordant: float | None = None) -> float:
    """Return the smallest true difference that ``n`` questions show in 80 of 100 evaluations.

    Connor 1987 (Biometrics 43): n = (z_a sqrt(d) + z_b sqrt(d - x^2))^2 / x^2 for the two-sided 5%
    McNemar test, with d the share of ``discordant`` questions. 1.0 where no difference is shown.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    share = discordant or DISCORDANT
    z_a, z_b = norm.ppf(1 - (1 - CONFIDENCE) / 2), norm.ppf(POWER)

    def missing(x: float) -> float:
        return float((z_a * share**0.5 + z_b * (share - x * x) ** 0.5) / n**0.5 - x)

    largest = share  # all of the discordant questions are wins
    return float(brentq(missing, 1e-9, largest)) if missing(largest) < 0 else 1.0


def pass_at_k(right: int, tries: int, k: int) -> float:
    """Return the chance that one of ``k`` of the ``tries`` is right: 1 - C(n-c, k) / C(n, k).

    The unbiased estimator of Chen et al. 2021, arXiv 2107.03374. ValueError for more than were tried.
    """
    from math import comb

    if k > tries:
        raise ValueError(f"pass@{k} of {tries} tries")
    return 1.0 - comb(tries - right, k) / comb(tries, k)


def wilson(k: int, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's interval for ``k`` right of ``n`` (n > 0), as fractions."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
