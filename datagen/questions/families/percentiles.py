"""Percentiles, quartiles and bins of equal size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, border, mean, quantile, top
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import chosen, grouped, known, pairs, where
from datagen.questions.others import zeros
from datagen.questions.slots import amount, category, pick, threshold, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LINEAR = "Interpolate linearly between values."


def _percentile(t: Cells, s: Slots, kind: str = "linear") -> Truth:
    return quantile(known(t.numbers(s["n"]), 5), s["p"] / 100, kind)


def _percentile_where(t: Cells, s: Slots, kind: str = "linear") -> Truth:
    values = chosen(t.numbers(s["n"]), where(t, s["c"], s["v"]))
    return quantile(known(values, 5), s["p"] / 100, kind)


def _middle_half(t: Cells, s: Slots, kind: str = "linear") -> Truth:
    values = known(t.numbers(s["n"]), 5)
    return quantile(values, 0.75, kind) - quantile(values, 0.25, kind)


def _widest(t: Cells, s: Slots) -> Truth:
    groups = {g: xs for g, xs in grouped(t, s["c"], s["n"]).items() if len(xs) >= 4}
    return top({g: quantile(xs, 0.75) - quantile(xs, 0.25) for g, xs in groups.items()})[0]


def _above_average(t: Cells, s: Slots, *, all_rows: bool = False) -> Truth:
    values = known(t.numbers(s["n"]))
    limit = AGGREGATES[s["agg"]](values)
    border(values, limit)
    return 100 * sum(x > limit for x in values) / (t.rows if all_rows else len(values))


def _rank(t: Cells, s: Slots, *, inclusive: bool = True) -> Truth:
    values = known(t.numbers(s["n"]), 5)
    return 100 * sum(x < s["t"] or (inclusive and x == s["t"]) for x in values) / len(values)


def _top_bin(t: Cells, s: Slots) -> Truth:
    rows = pairs(t, s["n"], s["m"])
    if len(rows) < 4 * s["k"]:
        raise Unasked("too few values")
    limit = quantile([x for x, _ in rows], 1 - 1 / s["k"])
    border([x for x, _ in rows], limit)
    return mean([y for x, y in rows if x > limit])


FAMILIES = (
    Family(
        name="percentile",
        slots={"n": amount(), "p": pick(5, 10, 30, 60, 80, 90, 95)},
        wordings=("What is the {p}th percentile of {n}?",),
        code="answer = df[{n}].quantile({p} / 100)",
        truth=_percentile,
        plan="The {p}th percentile of {n} is its {p}% quantile.",
        scaled=True,
        others=(
            Other("lower value", lambda t, s: _percentile(t, s, "lower"), LINEAR),
            Other("higher value", lambda t, s: _percentile(t, s, "higher"), LINEAR),
            zeros(_percentile),
        ),
    ),
    Family(
        name="percentile_where",
        slots={
            "n": amount(),
            "c": category(),
            "v": value_of("c", rows=10),
            "p": pick(10, 25, 75, 90),
        },
        wordings=(
            "Among rows where {c} is {v}, what is the {p}th percentile of {n}?",
            "What is the {p}th percentile of {n} for {c} {v}?",
        ),
        code="answer = df.loc[df[{c}] == {v}, {n}].quantile({p} / 100)",
        truth=_percentile_where,
        plan="I keep the rows where {c} is {v} and take the quantile of {n}.",
        scaled=True,
        others=(
            Other("lower value", lambda t, s: _percentile_where(t, s, "lower"), LINEAR),
            Other("higher value", lambda t, s: _percentile_where(t, s, "higher"), LINEAR),
            zeros(_percentile_where),
        ),
    ),
    Family(
        name="interquartile_range",
        slots={"n": amount()},
        wordings=(
            "What is the interquartile range of {n}?",
            "How wide is the middle half of {n} (third quartile minus first quartile)?",
        ),
        code="answer = df[{n}].quantile(0.75) - df[{n}].quantile(0.25)",
        truth=_middle_half,
        plan="The interquartile range is the third quartile minus the first.",
        scaled=True,
        others=(
            Other("lower value", lambda t, s: _middle_half(t, s, "lower"), LINEAR),
            Other("higher value", lambda t, s: _middle_half(t, s, "higher"), LINEAR),
            zeros(_middle_half),
        ),
    ),
    Family(
        name="widest_group",
        slots={"n": amount(), "c": category(3)},
        wordings=(
            (
                "Among the values of {c} with at least 4 values of {n}, which has the widest interquartile"
                " range of {n}? Interpolate quartiles linearly."
            ),
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "groups = known.groupby({c})[{n}]\n"
            "widths = (groups.quantile(0.75) - groups.quantile(0.25))[groups.size() >= 4]\n"
            "# look\n"
            "answer = widths.idxmax()"
        ),
        truth=_widest,
        plan="I take each group's quartiles of {n} and compare their distances.",
        answer="value",
        of="c",
        others=(zeros(_widest),),
    ),
    Family(
        name="share_above_average",
        slots={"n": amount(), "agg": words({"mean": "mean"})},
        wordings=(
            "What percentage of the rows that have {n} lie above the {agg} of {n}?",
            "In what percentage of rows with a value of {n} is it higher than the {agg} {n}?",
        ),
        code="values = df[{n}].dropna()\nanswer = 100 * (values > values.{agg}()).mean()",
        truth=_above_average,
        plan="I compare each {n} with the {agg} and take the share that is above.",
        units="percent",
        others=(
            Other(
                "of all rows",
                lambda t, s: _above_average(t, s, all_rows=True),
                "Rows without {n} count neither as above nor in the whole.",
            ),
        ),
    ),
    Family(
        name="percentile_rank",
        slots={"n": amount(), "t": threshold("n")},
        wordings=(
            "What percentage of the values of {n} are {t} or less?",
            "A row has {n} of {t}. What percentage of the known values of {n} are no higher?",
        ),
        code="values = df[{n}].dropna()\nanswer = 100 * (values <= {t}).mean()",
        truth=_rank,
        plan="The share of known {n} values up to {t}.",
        units="percent",
        others=(zeros(_rank),),
    ),
    Family(
        name="top_bin_mean",
        slots={"n": amount(), "m": amount(), "k": pick(4, 5, 10)},
        wordings=(
            (
                "Keep the rows that have both {n} and {m}, and cut them into {k} quantile bins by {n}"
                " (edges interpolated linearly, each bin including its upper edge). What is the mean {m}"
                " in the highest bin?"
            ),
        ),
        code=(
            "rows = df[[{n}, {m}]].dropna()\n"
            "edge = rows[{n}].quantile(1 - 1 / {k})\n"
            "highest = rows[rows[{n}] > edge]\n"
            "# look\n"
            "answer = highest[{m}].mean()"
        ),
        truth=_top_bin,
        plan="I find the lower edge of the highest bin of {n} and average {m} above it.",
    ),
)
