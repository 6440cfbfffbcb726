"""Tail probabilities by series and continued fractions: the truth's own route, without scipy.

Formulas: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.5.29, 6.5.31, 26.5.8; the
continued fractions are evaluated by Lentz's method.
"""

from __future__ import annotations

import math
from collections.abc import Callable

TINY, DEPTH, ENOUGH = 1e-300, 10_000, 1e-15


def normal_tail(z: float) -> float:
    """P(Z > z) of the standard normal."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def t_two_sided(t: float, df: float) -> float:
    """P(|T| > |t|) of Student's t with df degrees of freedom."""
    return beta_ratio(df / 2, 0.5, df / (df + t * t))


def f_tail(f: float, above: float, below: float) -> float:
    """P(F > f) with these degrees of freedom of numerator and denominator."""
    return beta_ratio(below / 2, above / 2, below / (below + above * f))


def chi2_tail(x: float, df: float) -> float:
    """P(X > x) of chi-squared with df degrees of freedom: the upper incomplete gamma ratio."""
    a, half = df / 2, x / 2
    if half <= 0:
        return 1.0
    front = math.exp(a * math.log(half) - half - math.lgamma(a))
    if half < a + 1:
        term = total = 1 / a
        for k in range(1, DEPTH):
            term *= half / (a + k)
            total += term
            if term < total * ENOUGH:
                break
        return 1 - front * total
    return front / _fraction(lambda k: -k * (k - a), lambda k: half + 2 * k + 1 - a)


def beta_ratio(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_ratio(b, a, 1 - x)
    log_front = a * math.log(x) + b * math.log1p(-x)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def numerator(k: int) -> float:
        m = k // 2
        if k % 2:
            return -(a + m) * (a + b + m) * x / ((a + k - 1) * (a + k))
        return m * (b - m) * x / ((a + k - 1) * (a + k))

    return math.exp(log_front) / a / _fraction(numerator, lambda _: 1.0)


def _fraction(numerator: Callable[[int], float], denominator: Callable[[int], float]) -> float:
    """d(0) + n(1) / (d(1) + n(2) / (d(2) + ...)), by Lentz's method."""
    value = denominator(0) or TINY
    c, d = value, 0.0
    for k in range(1, DEPTH):
        d = 1 / ((denominator(k) + numerator(k) * d) or TINY)
        c = (denominator(k) + numerator(k) / c) or TINY
        value *= c * d
        if abs(c * d - 1) < ENOUGH:
            break
    return value
