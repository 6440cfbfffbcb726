"""Rows in order: cumulative sums, rolling means, steps from row to row. The order is stated."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import border, close, mean, pearson
from datagen.questions.family import Family, Slots, Truth, Unasked
from datagen.questions.gather import known
from datagen.questions.others import zeros
from datagen.questions.slots import amount, dates, pick

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LEAST = 10
ORDER = "Go through the rows in the order of the table, leaving out rows without {n}. "
BY_DATE = "Sort the rows that have {n} by {d}, earliest first. "
SORTED = (
    "known = df.dropna(subset=[{n}, {d}])\n"
    "ordered = known.iloc[pd.to_datetime(known[{d}]).argsort()]\n"
)


def _steps(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    return max(b - a for a, b in itertools.pairwise(values))


def _half(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    goal, total = s["p"] / 100 * math.fsum(values), 0.0
    for place, x in enumerate(values, 1):
        total += x
        if close(total, goal):
            raise Unasked("border")
        if total >= goal:
            return place
    raise Unasked("too few values")


def _rolling(t: Cells, s: Slots) -> Truth:
    values, k = known(t.numbers(s["n"]), LEAST), s["k"]
    if len(values) <= k:
        raise Unasked("too few values")
    return max(mean(values[at : at + k]) for at in range(len(values) - k + 1))


def _echo(t: Cells, s: Slots) -> Truth:
    values, k = known(t.numbers(s["n"]), LEAST), s["k"]
    return pearson([*zip(values, values[k:], strict=False)])


def _records(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    best, found = values[0], 1
    for x in values[1:]:
        if x > best:
            best, found = x, found + 1
    return found


def _by_date(t: Cells, s: Slots) -> list[float]:
    rows = zip(t.dates(s["d"]), t.numbers(s["n"]), strict=True)
    dated = sorted((day, x) for day, x in rows if day is not None and x is not None)
    if len({day for day, _ in dated}) < len(dated):
        raise Unasked("not one row a date")
    return [x for _, x in dated]


def _drawdown(t: Cells, s: Slots) -> Truth:
    values = known(_by_date(t, s), LEAST)
    best, worst = values[0], 0.0
    for x in values:
        best = max(best, x)
        worst = max(worst, best - x)
    return worst


def _rolling_above(t: Cells, s: Slots) -> Truth:
    values, k = known(_by_date(t, s), LEAST), s["k"]
    if len(values) <= k:
        raise Unasked("too few values")
    limit = mean(values)
    levels = [mean(values[at : at + k]) for at in range(len(values) - k + 1)]
    border(levels, limit)
    return sum(level > limit for level in levels)


FAMILIES = (
    Family(
        name="largest_step",
        whole=True,
        slots={"n": amount()},
        wordings=(ORDER + "What is the largest increase of {n} from one row to the next?",),
        code="values = df[{n}].dropna()\nanswer = values.diff().max()",
        truth=_steps,
        plan="I take the differences of successive values of {n}.",
        scaled=True,
    ),
    Family(
        name="cumulative_reach",
        slots={"n": amount(low=0), "p": pick(10, 25, 50, 75, 90)},
        wordings=(
            ORDER
            + "After how many of these rows has the running sum of {n} reached {p}% of its total?",
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "running = values.cumsum()\n"
            "# look\n"
            "answer = (running < {p} / 100 * values.sum()).sum() + 1"
        ),
        truth=_half,
        plan="I add up {n} row by row and count the rows before {p}% of the total.",
        answer="integer",
        units="rows",
    ),
    Family(
        name="rolling_peak",
        slots={"n": amount(), "k": pick(3, 5, 7, 10)},
        wordings=(ORDER + "What is the highest mean of {n} over any {k} rows in succession?",),
        code="values = df[{n}].dropna()\nanswer = values.rolling({k}).mean().max()",
        truth=_rolling,
        plan="I take the rolling mean of {n} over {k} rows and its highest value.",
        scaled=True,
        others=(zeros(_rolling),),
    ),
    Family(
        name="autocorrelation",
        slots={"n": amount(), "k": pick(1, 2, 7)},
        wordings=(ORDER + "What is the Pearson correlation of {n} with its value {k} rows later?",),
        code=(
            "values = df[{n}].dropna().reset_index(drop=True)\n"
            "answer = values.corr(values.shift(-{k}))"
        ),
        truth=_echo,
        plan="I correlate {n} with itself shifted by {k} rows.",
        decimals=3,
    ),
    Family(
        name="records",
        slots={"n": amount()},
        wordings=(
            ORDER
            + "How many rows set a new record, {n} being higher than in every row before? The first"
            " row counts as a record.",
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "before = values.cummax().shift()\n"
            "# look\n"
            "answer = (values > before).sum() + 1"
        ),
        truth=_records,
        plan="I compare each {n} with the highest one before it.",
        answer="integer",
    ),
    Family(
        name="largest_drawdown",
        whole=True,
        slots={"n": amount(), "d": dates()},
        wordings=(
            BY_DATE + "What is the largest fall of {n} below the highest value reached up to then?",
        ),
        code=SORTED + "# look\nanswer = (ordered[{n}].cummax() - ordered[{n}]).max()",
        truth=_drawdown,
        plan="I sort by {d} and compare {n} with its running maximum.",
        scaled=True,
    ),
    Family(
        name="rolling_above_mean",
        slots={"n": amount(), "d": dates(), "k": pick(3, 7, 14, 30)},
        wordings=(
            BY_DATE
            + "How many of the windows of {k} successive rows have a mean {n} above the mean {n}"
            " of all these rows?",
        ),
        code=(
            SORTED
            + "rolling = ordered[{n}].rolling({k}).mean()\n"
            + "# look\n"
            + "answer = (rolling > ordered[{n}].mean()).sum()"
        ),
        truth=_rolling_above,
        plan="I sort by {d}, take rolling means of {n} and compare them with its mean.",
        answer="integer",
    ),
)
