"""Tests of hypotheses: the statistic or the p-value, the variant of the test named in the question."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import mean, median, ranks, variance
from datagen.questions.cells import Value
from datagen.questions.distributions import chi2_tail, f_tail, normal_tail, t_two_sided
from datagen.questions.family import Family, Slots, Truth, Unasked
from datagen.questions.gather import grouped
from datagen.questions.others import missing_group, zeros
from datagen.questions.slots import amount, category, value_of, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.questions.cells import Cells

LEAST = 5
RESULT = words({"test statistic": "statistic", "p-value": "pvalue"})
STATS = "from scipy import stats\n"
TWO = (
    STATS
    + "known = df.dropna(subset=[{n}])\n"
    + "first = known.loc[known[{c}] == {v}, {n}]\n"
    + "second = known.loc[known[{c}] == {w}, {n}]\n"
    + "# look\n"
)
ALL = (
    STATS
    + "known = df.dropna(subset=[{c}, {n}])\n"
    + "groups = [rows[{n}] for _, rows in known.groupby({c}) if len(rows) >= 5]\n"
)
LARGE_ONLY = "Leave out groups with fewer than 5 values."


def _two(t: Cells, s: Slots) -> tuple[list[float], list[float]]:
    groups = grouped(t, s["c"], s["n"])
    first, second = groups.get(s["v"], []), groups.get(s["w"], [])
    if min(len(first), len(second)) < LEAST:
        raise Unasked("too few values")
    return first, second


def _several(t: Cells, s: Slots) -> list[list[float]]:
    groups = [xs for xs in grouped(t, s["c"], s["n"]).values() if len(xs) >= LEAST]
    if len(groups) < 2:
        raise Unasked("too few groups")
    return groups


def _result(s: Slots, statistic: float, p: float) -> Truth:
    return statistic if s["what"] == "test statistic" else p


def _welch(t: Cells, s: Slots) -> Truth:
    first, second = _two(t, s)
    a, b = variance(first) / len(first), variance(second) / len(second)
    if not a + b:
        raise Unasked("no variation")
    statistic = (mean(first) - mean(second)) / math.sqrt(a + b)
    df = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    return _result(s, statistic, t_two_sided(statistic, df))


def _mann_whitney(t: Cells, s: Slots) -> Truth:
    """Normal approximation with the correction for ties and for continuity."""
    first, second = _two(t, s)
    n, m = len(first), len(second)
    both = [*first, *second]
    u = math.fsum(ranks(both)[:n]) - n * (n + 1) / 2
    ties = sum(k**3 - k for k in Counter(both).values())
    spread = math.sqrt(n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1))))
    if not spread:
        raise Unasked("no variation")
    z = (max(u, n * m - u) - n * m / 2 - 0.5) / spread
    return _result(s, u, min(1.0, 2 * normal_tail(z)))


def _anova_of(groups: Sequence[Sequence[float]]) -> tuple[float, float]:
    values = [x for xs in groups for x in xs]
    middle = mean(values)
    own = [(xs, mean(xs)) for xs in groups]
    between = math.fsum(len(xs) * (level - middle) ** 2 for xs, level in own)
    within = math.fsum((x - level) ** 2 for xs, level in own for x in xs)
    above, below = len(groups) - 1, len(values) - len(groups)
    if not within:
        raise Unasked("no variation")
    f = between / above / (within / below)
    return f, f_tail(f, above, below)


def _anova(t: Cells, s: Slots) -> Truth:
    return _result(s, *_anova_of(_several(t, s)))


def _levene(t: Cells, s: Slots) -> Truth:
    """ANOVA of the absolute distances from the group medians (Brown and Forsythe)."""
    distances = []
    for xs in _several(t, s):
        middle = median(xs)
        distances.append([abs(x - middle) for x in xs])
    return _result(s, *_anova_of(distances))


def _kruskal(t: Cells, s: Slots) -> Truth:
    groups = _several(t, s)
    values = [x for xs in groups for x in xs]
    n, placed, total = len(values), ranks(values), 0.0
    at = 0
    for xs in groups:
        total += math.fsum(placed[at : at + len(xs)]) ** 2 / len(xs)
        at += len(xs)
    h = 12 / (n * (n + 1)) * total - 3 * (n + 1)
    correction = 1 - sum(k**3 - k for k in Counter(values).values()) / (n**3 - n)
    if not correction:
        raise Unasked("no variation")
    return _result(s, h / correction, chi2_tail(h / correction, len(groups) - 1))


def _chi_squared(t: Cells, s: Slots) -> Truth:
    rows = zip(t.values(s["c"]), t.values(s["e"]), strict=True)
    counts = Counter((a, b) for a, b in rows if a is not None and b is not None)
    down, across = Counter[Value](), Counter[Value]()
    for (a, b), n in counts.items():
        down[a] += n
        across[b] += n
    if min(len(down), len(across)) < 2:
        raise Unasked("too few groups")
    whole = sum(counts.values())
    statistic = math.fsum(
        (counts[a, b] - down[a] * across[b] / whole) ** 2 / (down[a] * across[b] / whole)
        for a in down
        for b in across
    )
    df = (len(down) - 1) * (len(across) - 1)
    return _result(s, statistic, chi2_tail(statistic, df))


PAIR = {
    "n": amount(),
    "c": category(),
    "v": value_of("c", rows=LEAST),
    "w": value_of("c", rows=LEAST, other_than="v"),
    "what": RESULT,
}
MANY = {"n": amount(), "c": category(3, 12), "what": RESULT}
FAMILIES = (
    Family(
        name="welch_t",
        slots=PAIR,
        wordings=(
            (
                "Compare {n} where {c} is {v} (first sample) with {n} where {c} is {w} (second sample) by"
                " Welch's t-test, two-sided, variances not assumed equal. What is the {what}?"
            ),
        ),
        code=TWO + "answer = stats.ttest_ind(first, second, equal_var=False).{what}",
        truth=_welch,
        plan="I split {n} by {c} and run Welch's t-test.",
        decimals=4,
        others=(zeros(_welch),),
    ),
    Family(
        name="mann_whitney",
        slots=PAIR,
        wordings=(
            (
                "Run a two-sided Mann-Whitney U test of {n} where {c} is {v} (first sample) against {n}"
                " where {c} is {w} (second sample), by the normal approximation with tie and continuity"
                " correction; the test statistic is the U of the first sample. What is the {what}?"
            ),
        ),
        code=TWO + 'answer = stats.mannwhitneyu(first, second, method="asymptotic").{what}',
        truth=_mann_whitney,
        plan="I split {n} by {c} and run the Mann-Whitney test in its asymptotic form.",
        decimals=4,
        others=(zeros(_mann_whitney),),
    ),
    Family(
        name="anova",
        slots=MANY,
        wordings=(
            "Run a one-way ANOVA of {n} over the groups of {c}. What is the {what}? " + LARGE_ONLY,
        ),
        code=ALL + "# look\nanswer = stats.f_oneway(*groups).{what}",
        truth=_anova,
        plan="I collect {n} by {c} and run a one-way ANOVA.",
        decimals=4,
        others=(zeros(_anova), missing_group(_anova)),
    ),
    Family(
        name="levene",
        slots=MANY,
        wordings=(
            "Test by Levene's test around the median (Brown-Forsythe) whether {n} has the same variance"
            " for all values of {c}. What is the {what}? " + LARGE_ONLY,
        ),
        code=ALL + '# look\nanswer = stats.levene(*groups, center="median").{what}',
        truth=_levene,
        plan="I collect {n} by {c} and run Levene's test around the median.",
        decimals=4,
        others=(zeros(_levene), missing_group(_levene)),
    ),
    Family(
        name="kruskal_wallis",
        slots=MANY,
        wordings=(
            "Run a Kruskal-Wallis test (corrected for ties) of {n} over the groups of {c}. What is the"
            " {what}? " + LARGE_ONLY,
        ),
        code=ALL + "# look\nanswer = stats.kruskal(*groups).{what}",
        truth=_kruskal,
        plan="I collect {n} by {c} and run the Kruskal-Wallis test.",
        decimals=4,
        others=(zeros(_kruskal), missing_group(_kruskal)),
    ),
    Family(
        name="chi_squared",
        slots={"c": category(high=12), "e": category(high=12), "what": RESULT},
        wordings=(
            (
                "Test by Pearson's chi-squared test, without continuity correction, whether {c} and {e} are"
                " independent. What is the {what}?"
            ),
        ),
        code=(
            STATS
            + "table = pd.crosstab(df[{c}], df[{e}])\n"
            + "# look\n"
            + "answer = stats.chi2_contingency(table, correction=False).{what}"
        ),
        truth=_chi_squared,
        plan="I cross {c} with {e} and run the chi-squared test on the counts.",
        decimals=4,
        others=(missing_group(_chi_squared), missing_group(_chi_squared, "e")),
    ),
)
