"""How two columns go together: Pearson, Spearman, within groups, the strongest partner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.arithmetic import mean, median, pearson, spearman, top
from datagen.questions.bound import Bound, column
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import known, pairs
from datagen.questions.others import zeros
from datagen.questions.slots import Draw, amount, category, is_amount, value_of

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LEAST = 10
SAMPLE = "Use the sample covariance (divide by n - 1)."


def amounts(draw: Draw) -> Bound | None:
    """Every other column of amounts, as a list; at least two."""
    names = [c.name for c in draw.profile.columns if is_amount(c)]
    others = [name for name in names if name != draw.bound["n"].value]
    bound = [column(name) for name in others]
    if len(bound) < 2:
        return None
    return Bound(
        [*others], ", ".join(b.text for b in bound), f"[{', '.join(b.literal for b in bound)}]"
    )


def _pearson(t: Cells, s: Slots) -> Truth:
    return pearson(_enough(pairs(t, s["n"], s["m"])))


def _spearman(t: Cells, s: Slots) -> Truth:
    return spearman(_enough(pairs(t, s["n"], s["m"])))


def _enough(rows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(rows) < LEAST:
        raise Unasked("too few values")
    return rows


def _covariance(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    rows = _enough(pairs(t, s["n"], s["m"]))
    mx, my = mean([x for x, _ in rows]), mean([y for _, y in rows])
    return sum((x - mx) * (y - my) for x, y in rows) / (len(rows) - ddof)


def _partner(t: Cells, s: Slots) -> Truth:
    return top({m: abs(pearson(_enough(pairs(t, s["n"], m)))) for m in s["rest"]})[0]


def _within(t: Cells, s: Slots) -> Truth:
    rows = zip(t.values(s["c"]), t.numbers(s["n"]), t.numbers(s["m"]), strict=True)
    return pearson(
        _enough([(x, y) for g, x, y in rows if g == s["v"] and x is not None and y is not None])
    )


def _group(t: Cells, s: Slots) -> Truth:
    found: dict[object, list[tuple[float, float]]] = {}
    for g, x, y in zip(t.values(s["c"]), t.numbers(s["n"]), t.numbers(s["m"]), strict=True):
        if g is not None and x is not None and y is not None:
            found.setdefault(g, []).append((x, y))
    return top({g: pearson(rows) for g, rows in found.items() if len(rows) >= LEAST})[0]


def _skewness(t: Cells, s: Slots) -> Truth:
    """Of the population: third central moment over the variance to the power of 3/2."""
    values = known(t.numbers(s["n"]), LEAST)
    middle = mean(values)
    second = mean([(x - middle) ** 2 for x in values])
    if not second:
        raise Unasked("no variation")
    return mean([(x - middle) ** 3 for x in values]) / second**1.5


def _pearson_skewness(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    middle = mean(values)
    spread = (sum((x - middle) ** 2 for x in values) / (len(values) - 1)) ** 0.5
    if not spread:
        raise Unasked("no variation")
    return 3 * (middle - median(values)) / spread


FAMILIES = (
    Family(
        name="pearson",
        slots={"n": amount(), "m": amount()},
        wordings=(
            "What is the Pearson correlation of {n} and {m}?",
            "How strongly do {n} and {m} correlate (Pearson)?",
        ),
        code="answer = df[{n}].corr(df[{m}])",
        truth=_pearson,
        plan="The Pearson correlation of {n} and {m}, over the rows that have both.",
        decimals=3,
        others=(zeros(_pearson), zeros(_pearson, "m")),
    ),
    Family(
        name="spearman",
        slots={"n": amount(), "m": amount()},
        wordings=(
            "What is the Spearman rank correlation of {n} and {m}?",
            "How do the ranks of {n} and {m} correlate (Spearman, mean ranks for ties)?",
        ),
        code=(
            "rows = df[[{n}, {m}]].dropna()\n"
            "ranks = rows.rank()\n"
            "# look\n"
            "answer = ranks[{n}].corr(ranks[{m}])"
        ),
        truth=_spearman,
        plan="Spearman's correlation is Pearson's of the ranks, over the rows that have both.",
        decimals=3,
        others=(zeros(_spearman), zeros(_spearman, "m")),
    ),
    Family(
        name="covariance",
        slots={"n": amount(), "m": amount()},
        wordings=("What is the covariance of {n} and {m}?",),
        code="answer = df[{n}].cov(df[{m}])",
        truth=_covariance,
        plan="The covariance of {n} and {m}, over the rows that have both.",
        scaled=True,
        others=(
            Other("divided by n", lambda t, s: _covariance(t, s, 0), SAMPLE),
            zeros(_covariance),
            zeros(_covariance, "m"),
        ),
    ),
    Family(
        name="strongest_partner",
        slots={"n": amount(), "rest": amounts},
        wordings=(
            (
                "Which of the columns {rest} has the strongest Pearson correlation with {n}, whatever its"
                " sign? Use for each the rows that have both values."
            ),
        ),
        code=(
            "strengths = df[{rest}].corrwith(df[{n}]).abs()\n# look\nanswer = strengths.idxmax()"
        ),
        truth=_partner,
        plan="I correlate each of the columns with {n} and compare the absolute values.",
        answer="text",
        form="Answer with the column's name.",
    ),
    Family(
        name="correlation_where",
        slots={"n": amount(), "m": amount(), "c": category(), "v": value_of("c", rows=LEAST)},
        wordings=("Among rows where {c} is {v}, what is the Pearson correlation of {n} and {m}?",),
        code="rows = df[df[{c}] == {v}]\nanswer = rows[{n}].corr(rows[{m}])",
        truth=_within,
        plan="I keep the rows where {c} is {v} and correlate {n} with {m}.",
        decimals=3,
        others=(zeros(_within), zeros(_within, "m")),
    ),
    Family(
        name="most_correlated_group",
        slots={"n": amount(), "m": amount(), "c": category(3)},
        wordings=(
            (
                "Among the values of {c} with at least 10 rows that have both {n} and {m}, for which is the"
                " Pearson correlation of the two highest (a negative one counts as low)?"
            ),
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}, {m}])\n"
            "scores = {{}}\n"
            "for group, rows in known.groupby({c}):\n"
            "    if len(rows) >= 10:\n"
            "        scores[group] = rows[{n}].corr(rows[{m}])\n"
            "# look\n"
            "answer = max(scores, key=scores.get)"
        ),
        truth=_group,
        plan="I correlate {n} and {m} within each {c} that has enough rows.",
        answer="value",
        of="c",
    ),
    Family(
        name="skewness",
        slots={"n": amount()},
        wordings=(
            (
                "What is the skewness of {n}: its third central moment divided by its population variance"
                " to the power of 3/2?"
            ),
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "deviations = values - values.mean()\n"
            "answer = (deviations ** 3).mean() / (deviations ** 2).mean() ** 1.5"
        ),
        truth=_skewness,
        plan="I take the second and third moments of {n} around its mean.",
        decimals=3,
        others=(zeros(_skewness),),
    ),
    Family(
        name="median_skewness",
        slots={"n": amount()},
        wordings=(
            (
                "What is Pearson's median skewness of {n}: three times (mean minus median), divided by the"
                " sample standard deviation?"
            ),
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "answer = 3 * (values.mean() - values.median()) / values.std()"
        ),
        truth=_pearson_skewness,
        plan="I need mean, median and standard deviation of {n}.",
        decimals=3,
        others=(zeros(_pearson_skewness),),
    ),
)
