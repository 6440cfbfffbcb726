"""Ranking: best rows, best groups, the n-th value, shares of the leaders. Ties are not asked."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, close, top
from datagen.questions.families.aggregates import LEVELS
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import grouped, known, levels
from datagen.questions.others import missing_group, zeros
from datagen.questions.slots import amount, category, label, pick, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

ENDS = {"highest": "nlargest", "lowest": "nsmallest"}


def _rows(t: Cells, s: Slots) -> Truth:
    rows = zip(t.values(s["x"]), t.numbers(s["n"]), strict=True)
    scores = {at: x for at, (_, x) in enumerate(rows) if x is not None}
    names = t.values(s["x"])
    return [names[at] for at in top(scores, s["k"], lowest=s["end"] == "lowest")]


def _groups(t: Cells, s: Slots) -> Truth:
    scores = levels(t, s["c"], s["n"], s["agg"])
    return [*top(scores, s["k"], lowest=s["end"] == "lowest")]


def _second(t: Cells, s: Slots) -> Truth:
    return top(levels(t, s["c"], s["n"], s["agg"]), 2)[1]


def _nth(t: Cells, s: Slots, *, distinct: bool = True) -> Truth:
    values = known(t.numbers(s["n"]), 10)
    ordered = sorted({*values} if distinct else values, reverse=True)
    if len(ordered) < s["k"]:
        raise Unasked("too few values")
    return ordered[s["k"] - 1]


def _leaders(t: Cells, s: Slots) -> Truth:
    totals = levels(t, s["c"], s["n"], "total")
    whole = math.fsum(totals.values())
    if not whole:
        raise Unasked("division by zero")
    return 100 * math.fsum(totals[g] for g in top(totals, s["k"])) / whole


def _place(t: Cells, s: Slots) -> Truth:
    scores = levels(t, s["c"], s["n"], s["agg"])
    own = scores.pop(s["v"], None)
    if own is None or len(scores) < 2:
        raise Unasked("too few groups")
    if any(close(own, other) for other in scores.values()):
        raise Unasked("tie")
    return 1 + sum(other > own for other in scores.values())


def _frequent(t: Cells, s: Slots) -> Truth:
    counts = Counter(v for v in t.values(s["c"]) if v is not None)
    return [*top({v: float(n) for v, n in counts.items()}, s["k"])]


def _best_member(t: Cells, s: Slots) -> Truth:
    """The row with the highest n within the group that has the highest total."""
    best = top(levels(t, s["c"], s["n"], "total"))[0]
    rows = zip(t.values(s["c"]), t.numbers(s["n"]), t.values(s["x"]), strict=True)
    return top({name: x for group, x, name in rows if group == best and x is not None})[0]


def _lead(t: Cells, s: Slots) -> Truth:
    scores = {g: AGGREGATES["mean"](xs) for g, xs in grouped(t, s["c"], s["n"]).items()}
    first, second = top(scores, 2)
    return scores[first] - scores[second]


FAMILIES = (
    Family(
        name="top_rows",
        slots={"x": label(), "n": amount(), "k": pick(2, 3, 5), "end": words(ENDS)},
        wordings=(
            "Which {k} rows have the {end} {n}? List their {x}, the {end} first.",
            "List the {x} of the {k} rows with the {end} {n}, starting with the {end}.",
        ),
        code="answer = df.{end}({k}, {n})[{x}].tolist()",
        truth=_rows,
        plan="I take the {k} rows with the {end} {n} and list their {x}.",
        answer="list",
    ),
    Family(
        name="top_groups",
        slots={
            "n": amount(),
            "c": category(4),
            "k": pick(2, 3),
            "agg": words(LEVELS),
            "end": words(ENDS),
        },
        wordings=(
            "Which {k} values of {c} have the {end} {agg} {n}? List them, the {end} first.",
            "Rank the values of {c} by their {agg} {n} and list the {k} {end}, {end} first.",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "scores = known.groupby({c})[{n}].{agg}()\n"
            "# look\n"
            "answer = scores.{end}({k}).index.tolist()"
        ),
        truth=_groups,
        plan="I compute the {agg} of {n} for each {c} and take the {k} {end}.",
        answer="list",
        others=(zeros(_groups), missing_group(_groups)),
    ),
    Family(
        name="second_group",
        slots={"n": amount(), "c": category(3), "agg": words(LEVELS)},
        wordings=(
            "Which {c} has the second highest {agg} {n}?",
            "By {agg} {n}, which {c} comes second, counted from the highest?",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "scores = known.groupby({c})[{n}].{agg}().sort_values(ascending=False)\n"
            "answer = scores.index[1]"
        ),
        truth=_second,
        plan="I rank the groups of {c} by their {agg} {n} and take the second.",
        answer="value",
        of="c",
        others=(zeros(_second), missing_group(_second)),
    ),
    Family(
        name="nth_value",
        whole=True,
        slots={"n": amount(), "k": pick(2, 3, 5)},
        wordings=("What is number {k} of the values of {n}, counted down from the highest?",),
        code="answer = df[{n}].drop_duplicates().nlargest({k}).iloc[-1]",
        truth=_nth,
        plan="I drop repeated values of {n} and count down from the highest.",
        others=(
            Other(
                "repeated values counted",
                lambda t, s: _nth(t, s, distinct=False),
                "Count equal values once.",
            ),
        ),
    ),
    Family(
        name="leaders_share",
        slots={"n": amount(low=0), "c": category(4), "k": pick(2, 3)},
        wordings=(
            "What percentage of the total {n} belongs to the {k} values of {c} with the highest totals?",
            "How much of the total {n} do the {k} largest {c} by total {n} hold together?",
        ),
        code=(
            "known = df.dropna(subset=[{c}])\n"
            "totals = known.groupby({c})[{n}].sum()\n"
            "answer = 100 * totals.nlargest({k}).sum() / totals.sum()"
        ),
        truth=_leaders,
        plan="I sum {n} by {c} and compare the {k} largest sums with the whole.",
        units="percent",
        others=(missing_group(_leaders),),
    ),
    Family(
        name="place_of_group",
        slots={"n": amount(), "c": category(4), "v": value_of("c"), "agg": words(LEVELS)},
        wordings=(
            "Rank the values of {c} by {agg} {n}, the highest being number 1. Which place has {v}?",
            "Which place does {v} take among all {c} by {agg} {n} (1 = highest)?",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "scores = known.groupby({c})[{n}].{agg}()\n"
            "# look\n"
            "answer = scores.rank(ascending=False)[{v}]"
        ),
        truth=_place,
        plan="I rank the groups of {c} by {agg} {n} and look up {v}.",
        answer="integer",
        others=(zeros(_place), missing_group(_place)),
    ),
    Family(
        name="most_frequent",
        slots={"c": category(4), "k": pick(2, 3)},
        wordings=(
            "What are the {k} most frequent values of {c}? List them, the most frequent first.",
        ),
        code="answer = df[{c}].value_counts().head({k}).index.tolist()",
        truth=_frequent,
        plan="I count the values of {c} and list the first {k}.",
        answer="list",
        others=(missing_group(_frequent),),
    ),
    Family(
        name="best_of_best_group",
        slots={"x": label(), "n": amount(low=0), "c": category(3)},
        wordings=(
            "Take the {c} with the highest total {n}. Which {x} has the highest {n} within it?",
        ),
        code=(
            "totals = df.groupby({c})[{n}].sum()\n"
            "best = totals.idxmax()\n"
            "# look\n"
            "rows = df[df[{c}] == best]\n"
            "answer = rows.loc[rows[{n}].idxmax(), {x}]"
        ),
        truth=_best_member,
        plan="I find the {c} with the highest total of {n}, then the highest row in it.",
        answer="value",
        of="x",
        others=(missing_group(_best_member),),
    ),
    Family(
        name="lead_of_first",
        slots={"n": amount(), "c": category(3)},
        wordings=(
            "By how much does the highest mean {n} of any {c} exceed the second highest?",
            "Compare the mean {n} of each {c}: how far apart are the highest and the second highest?",
        ),
        code=(
            "known = df.dropna(subset=[{c}, {n}])\n"
            "means = known.groupby({c})[{n}].mean().sort_values(ascending=False)\n"
            "# look\n"
            "answer = means.iloc[0] - means.iloc[1]"
        ),
        truth=_lead,
        plan="I sort the means of {n} by {c} and subtract the second from the first.",
        scaled=True,
        others=(zeros(_lead), missing_group(_lead)),
    ),
)
