"""Aggregates of one column: weighted, trimmed, scaled, under two conditions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, deviation, mean
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import chosen, known, pairs, where
from datagen.questions.others import zeros
from datagen.questions.slots import amount, category, pick, threshold, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

AVERAGES = {"mean": "mean", "median": "median"}
LEVELS = {**AVERAGES, "total": "sum"}
EXTREMES = {"highest": "max", "lowest": "min"}


def _deviation(t: Cells, s: Slots) -> Truth:
    return deviation(known(t.numbers(s["n"])))


def _deviation_of_all(t: Cells, s: Slots) -> Truth:
    return deviation(known(t.numbers(s["n"])), ddof=0)


def _variation(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    values = known(t.numbers(s["n"]))
    if not mean(values):
        raise Unasked("division by zero")
    return 100 * deviation(values, ddof) / mean(values)


def _weighted(t: Cells, s: Slots) -> Truth:
    rows = pairs(t, s["n"], s["m"])
    weight = math.fsum(w for _, w in rows)
    if len(rows) < 3 or not weight:
        raise Unasked("too few values")
    return math.fsum(x * w for x, w in rows) / weight


def _both(t: Cells, s: Slots, *, inclusive: bool = False) -> Truth:
    def keeps(x: float | None) -> bool:
        return x is not None and (x > s["t"] or (inclusive and x == s["t"]))

    group = where(t, s["c"], s["v"])
    keep = [g and keeps(x) for g, x in zip(group, t.numbers(s["m"]), strict=True)]
    return AGGREGATES[s["agg"]](known(chosen(t.numbers(s["n"]), keep)))


def _between(t: Cells, s: Slots, *, ends: bool = True) -> Truth:
    low, high = s["low"], s["high"]
    if low >= high:
        raise Unasked("empty range")
    values = known(t.numbers(s["n"]))
    if low <= min(values) and max(values) <= high:
        raise Unasked("degenerate")
    return sum(low < x < high or (ends and x in (low, high)) for x in values)


def _trimmed(t: Cells, s: Slots) -> Truth:
    values = sorted(known(t.numbers(s["n"]), 20))
    cut = len(values) * s["p"] // 100
    return mean(values[cut : len(values) - cut])


def _scaled(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]))
    low, high = min(values), max(values)
    if low == high:
        raise Unasked("no variation")
    return AGGREGATES[s["agg"]]([(x - low) / (high - low) for x in values])


FAMILIES = (
    Family(
        name="standard_deviation",
        slots={"n": amount()},
        wordings=(
            "What is the standard deviation of {n}?",
            "How widely does {n} spread, as its standard deviation?",
        ),
        code="answer = df[{n}].std()",
        truth=_deviation,
        plan="The standard deviation of {n} is one call.",
        scaled=True,
        others=(
            Other("divided by n", _deviation_of_all, "Use the sample formula (divide by n - 1)."),
            zeros(_deviation),
        ),
    ),
    Family(
        name="variation",
        slots={"n": amount(low=0)},
        wordings=(
            "What is the coefficient of variation of {n} (standard deviation over mean)?",
            "How large is the standard deviation of {n} compared with its mean?",
        ),
        code="values = df[{n}].dropna()\nanswer = 100 * values.std() / values.mean()",
        truth=_variation,
        plan="I divide the standard deviation of {n} by its mean.",
        units="percent",
        others=(
            Other(
                "divided by n",
                lambda t, s: _variation(t, s, 0),
                "Use the sample standard deviation (divide by n - 1).",
            ),
            zeros(_variation),
        ),
    ),
    Family(
        name="weighted_mean",
        slots={"n": amount(), "m": amount(low=0)},
        wordings=(
            "What is the mean of {n} weighted by {m}?",
            "Weight each row's {n} by its {m}: what is the weighted mean?",
        ),
        code=(
            "rows = df[[{n}, {m}]].dropna()\n"
            "answer = (rows[{n}] * rows[{m}]).sum() / rows[{m}].sum()"
        ),
        truth=_weighted,
        plan="I keep the rows that have both {n} and {m}, and divide the weighted sum by the sum of weights.",
        others=(zeros(_weighted),),
    ),
    Family(
        name="aggregate_two_conditions",
        whole=True,
        slots={
            "n": amount(),
            "m": amount(),
            "c": category(),
            "v": value_of("c", rows=5),
            "t": threshold("m"),
            "agg": words({**LEVELS, **EXTREMES}),
        },
        wordings=(
            "Among rows where {c} is {v} and {m} is above {t}, what is the {agg} {n}?",
            "Take the rows with {c} equal to {v} whose {m} exceeds {t}. What is their {agg} {n}?",
        ),
        code=("rows = df[(df[{c}] == {v}) & (df[{m}] > {t})]\nanswer = rows[{n}].{agg}()"),
        truth=_both,
        plan="I filter the rows on {c} and {m}, then take the {agg} of {n}.",
        others=(
            Other(
                "border included",
                lambda t, s: _both(t, s, inclusive=True),
                "Rows with {m} of exactly {t} are not above it.",
            ),
            zeros(_both),
        ),
    ),
    Family(
        name="count_between",
        slots={
            "n": amount(),
            "low": threshold("n", 0.1, 0.45),
            "high": threshold("n", 0.55, 0.9),
        },
        wordings=(
            "How many rows have {n} between {low} and {high}?",
            "In how many rows does {n} lie between {low} and {high}?",
        ),
        code="answer = df[{n}].between({low}, {high}).sum()",
        truth=_between,
        plan="I count the rows whose {n} lies in the range.",
        answer="integer",
        others=(
            Other(
                "ends excluded",
                lambda t, s: _between(t, s, ends=False),
                "Both ends belong to the range.",
            ),
        ),
    ),
    Family(
        name="trimmed_mean",
        slots={"n": amount(), "p": pick(5, 10, 20)},
        wordings=(
            (
                "What is the {p}% trimmed mean of {n}: sort its values, drop floor({p}% of them) at each"
                " end, average the rest?"
            ),
        ),
        code=(
            "values = df[{n}].dropna().sort_values()\n"
            "cut = len(values) * {p} // 100\n"
            "answer = values.iloc[cut:len(values) - cut].mean()"
        ),
        truth=_trimmed,
        plan="I sort {n}, cut both ends and average what is left.",
        others=(zeros(_trimmed),),
    ),
    Family(
        name="min_max_scaled",
        slots={"n": amount(), "agg": words(AVERAGES)},
        wordings=(
            (
                "Scale {n} linearly so that its smallest value is 0 and its largest is 1. What is the"
                " {agg} of the scaled values?"
            ),
            "After min-max normalisation of {n} to the range 0 to 1, what is its {agg}?",
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "scaled = (values - values.min()) / (values.max() - values.min())\n"
            "answer = scaled.{agg}()"
        ),
        truth=_scaled,
        plan="I scale {n} to the range 0 to 1 and take the {agg}.",
        decimals=3,
        others=(zeros(_scaled),),
    ),
)
