"""Comparing groups: gaps, shares, group sizes, rows against their own group."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import border, deviation, mean, median, top
from datagen.questions.families.aggregates import AVERAGES, LEVELS
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import grouped, known, levels
from datagen.questions.others import missing_group, zeros
from datagen.questions.slots import amount, category, pick, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells


def _gap(t: Cells, s: Slots) -> Truth:
    scores = levels(t, s["c"], s["n"], s["agg"]).values()
    if len(scores) < 2:
        raise Unasked("too few groups")
    return max(scores) - min(scores)


def _difference(t: Cells, s: Slots) -> Truth:
    scores = levels(t, s["c"], s["n"], s["agg"])
    if s["v"] not in scores or s["w"] not in scores:
        raise Unasked("too few values")
    return scores[s["v"]] - scores[s["w"]]


def _above(t: Cells, s: Slots, *, of_groups: bool = False) -> Truth:
    scores = levels(t, s["c"], s["n"])
    if len(scores) < 2:
        raise Unasked("too few groups")
    limit = mean([*scores.values()]) if of_groups else mean(known(t.numbers(s["n"])))
    border(scores.values(), limit)
    return sum(score > limit for score in scores.values())


def _steadiest(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    groups = {g: xs for g, xs in grouped(t, s["c"], s["n"]).items() if len(xs) > 1}
    return top({g: deviation(xs, ddof) for g, xs in groups.items()}, lowest=True)[0]


def _share(t: Cells, s: Slots, *, grouped_only: bool = True) -> Truth:
    totals = levels(t, s["c"], s["n"], "total")
    whole = math.fsum(totals.values() if grouped_only else known(t.numbers(s["n"])))
    if not whole or s["v"] not in totals:
        raise Unasked("division by zero")
    return 100 * totals[s["v"]] / whole


def _mean_of_levels(t: Cells, s: Slots) -> Truth:
    scores = [*levels(t, s["c"], s["n"], s["agg"]).values()]
    if len(scores) < 2:
        raise Unasked("too few groups")
    return mean(scores)


def _best_large(t: Cells, s: Slots) -> Truth:
    sizes = Counter(t.values(s["c"]))
    large = {g: median(xs) for g, xs in grouped(t, s["c"], s["n"]).items() if sizes[g] >= s["k"]}
    if len(large) == len(sizes.keys() - {None}):
        raise Unasked("the condition leaves out nothing")
    return top(large)[0]


def _large(t: Cells, s: Slots) -> Truth:
    return sum(n >= s["k"] for g, n in Counter(t.values(s["c"])).items() if g is not None)


def _pair(t: Cells, s: Slots) -> Truth:
    rows = zip(t.values(s["c"]), t.values(s["e"]), strict=True)
    counts = Counter(row for row in rows if None not in row)
    return [*top({row: float(n) for row, n in counts.items()})[0]]


def _above_own(t: Cells, s: Slots) -> Truth:
    total = 0
    for values in grouped(t, s["c"], s["n"]).values():
        own = mean(values)
        border(values, own)
        total += sum(x > own for x in values)
    return total


def _variety(t: Cells, s: Slots) -> Truth:
    found: dict[object, set[object]] = {}
    for group, value in zip(t.values(s["c"]), t.values(s["e"]), strict=True):
        if group is not None and value is not None:
            found.setdefault(group, set()).add(value)
    return top({g: float(len(vs)) for g, vs in found.items()})[0]


LARGE = (5, 10, 20, 30, 50, 100)
FAMILIES = (
    Family(
        name="group_gap",
        whole=True,
        slots={"n": amount(), "c": category(3), "agg": words(LEVELS)},
        wordings=(
            "Compute the {agg} {n} of each {c}. What is the difference between the highest and the lowest?",
            "How far apart are the {c} with the highest and the {c} with the lowest {agg} {n}?",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "scores = known.groupby({c})[{n}].{agg}()\n"
            "answer = scores.max() - scores.min()"
        ),
        truth=_gap,
        plan="I compute the {agg} of {n} by {c} and subtract the lowest from the highest.",
        scaled=True,
        others=(zeros(_gap), missing_group(_gap)),
    ),
    Family(
        name="two_groups_difference",
        slots={
            "n": amount(),
            "c": category(),
            "v": value_of("c"),
            "w": value_of("c", other_than="v"),
            "agg": words(AVERAGES),
        },
        wordings=(
            "What is the {agg} {n} where {c} is {v} minus the {agg} {n} where {c} is {w}?",
            "By how much does the {agg} {n} of {c} {v} exceed that of {c} {w}? A deficit is negative.",
        ),
        code=(
            "first = df.loc[df[{c}] == {v}, {n}].{agg}()\n"
            "second = df.loc[df[{c}] == {w}, {n}].{agg}()\n"
            "answer = first - second"
        ),
        truth=_difference,
        plan="I take the {agg} of {n} in both groups and subtract.",
        scaled=True,
        others=(zeros(_difference),),
    ),
    Family(
        name="groups_above_mean",
        slots={"n": amount(), "c": category(4)},
        wordings=("How many values of {c} have a mean {n} above the mean {n} of the whole table?",),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "means = known.groupby({c})[{n}].mean()\n"
            "answer = (means > df[{n}].mean()).sum()"
        ),
        truth=_above,
        plan="I compare the mean {n} of each {c} with the mean over all rows.",
        answer="integer",
        others=(
            Other(
                "mean of the group means",
                lambda t, s: _above(t, s, of_groups=True),
                "The mean of the table is taken over its rows, not over the groups.",
            ),
            zeros(_above),
            missing_group(_above),
        ),
    ),
    Family(
        name="steadiest_group",
        slots={"n": amount(), "c": category(3)},
        wordings=(
            (
                "Among the values of {c} with at least two values of {n}, which has the smallest standard"
                " deviation of {n}?"
            ),
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "spreads = known.groupby({c})[{n}].std()\n"
            "# look\n"
            "answer = spreads.idxmin()"
        ),
        truth=_steadiest,
        plan="I compute the standard deviation of {n} by {c} and take the smallest.",
        answer="value",
        of="c",
        others=(
            Other(
                "divided by n",
                lambda t, s: _steadiest(t, s, 0),
                "Use the sample formula (divide by n - 1).",
            ),
            zeros(_steadiest),
        ),
    ),
    Family(
        name="group_share",
        slots={"n": amount(low=0), "c": category(), "v": value_of("c")},
        wordings=(
            "What percentage of the total {n} comes from rows where {c} is {v}?",
            "What is the share of {c} {v} in the total {n}?",
        ),
        code=(
            "known = df.dropna(subset=[{c}])\n"
            "answer = 100 * known.loc[known[{c}] == {v}, {n}].sum() / known[{n}].sum()"
        ),
        truth=_share,
        plan="I divide the sum of {n} where {c} is {v} by the whole sum.",
        units="percent",
        others=(
            Other(
                "of all rows",
                lambda t, s: _share(t, s, grouped_only=False),
                "The total is taken over the rows that have {c}.",
            ),
        ),
    ),
    Family(
        name="mean_of_group_levels",
        slots={"n": amount(), "c": category(3), "agg": words(LEVELS)},
        wordings=(
            "What is the mean over all values of {c} of their {agg} {n}, each value of {c} counting once?",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "scores = known.groupby({c})[{n}].{agg}()\n"
            "answer = scores.mean()"
        ),
        truth=_mean_of_levels,
        plan="I compute the {agg} of {n} by {c}, then the mean of these.",
        scaled=True,
        others=(zeros(_mean_of_levels), missing_group(_mean_of_levels)),
    ),
    Family(
        name="best_large_group",
        slots={"n": amount(), "c": category(3), "k": pick(*LARGE)},
        wordings=(
            "Among the values of {c} with at least {k} rows, which has the highest median {n}?",
        ),
        code=(
            "sizes = df[{c}].value_counts()\n"
            "large = df[df[{c}].isin(sizes[sizes >= {k}].index)]\n"
            "# look\n"
            "answer = large.groupby({c})[{n}].median().idxmax()"
        ),
        truth=_best_large,
        plan="I keep the values of {c} with enough rows and compare their median {n}.",
        answer="value",
        of="c",
        others=(zeros(_best_large),),
    ),
    Family(
        name="large_groups",
        slots={"c": category(4), "k": pick(*LARGE)},
        wordings=("How many values of {c} occur in at least {k} rows?",),
        code="answer = (df[{c}].value_counts() >= {k}).sum()",
        truth=_large,
        plan="I count the rows of each {c} and see how many reach {k}.",
        answer="integer",
        others=(missing_group(_large),),
    ),
    Family(
        name="commonest_pair",
        slots={"c": category(), "e": category()},
        wordings=(
            "Which combination of {c} and {e} has the most rows? List the value of {c}, then that of {e}.",
        ),
        code=("sizes = df.groupby([{c}, {e}]).size()\nanswer = sizes.idxmax()"),
        truth=_pair,
        plan="I count the rows of each combination of {c} and {e}.",
        answer="list",
        others=(missing_group(_pair), missing_group(_pair, "e")),
    ),
    Family(
        name="above_own_group",
        slots={"n": amount(), "c": category()},
        wordings=("In how many rows does {n} exceed the mean {n} of the rows with the same {c}?",),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            'own = known.groupby({c})[{n}].transform("mean")\n'
            "answer = (known[{n}] > own).sum()"
        ),
        truth=_above_own,
        plan="I compare each {n} with the mean of its own {c}.",
        answer="integer",
        others=(zeros(_above_own), missing_group(_above_own)),
    ),
    Family(
        name="most_varied_group",
        slots={"c": category(3), "e": category(3)},
        wordings=("Which {c} has the most different values of {e}?",),
        code=("variety = df.groupby({c})[{e}].nunique()\nanswer = variety.idxmax()"),
        truth=_variety,
        plan="I count the different values of {e} for each {c}.",
        answer="value",
        of="c",
        others=(missing_group(_variety), missing_group(_variety, "e")),
    ),
)
