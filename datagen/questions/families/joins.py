"""Joins of two tables: the first is `df`, the second holds a key that a column of the first refers to."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, mean, top
from datagen.questions.bound import Bound, column
from datagen.questions.cells import Value
from datagen.questions.families.aggregates import LEVELS
from datagen.questions.family import Family, Slots, Truth
from datagen.questions.gather import known
from datagen.questions.joining import keys
from datagen.questions.others import zeros
from datagen.questions.slots import Draw, amount, category, pick, safe, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells


def own(draw: Draw) -> Bound | None:
    return column(draw.profiles[0].name) if safe(draw.profiles[0].name) else None


def other(draw: Draw) -> Bound | None:
    names = [p.name for p in draw.profiles]
    return column(names[1]) if safe(names[1]) and names[0] != names[1] else None


def reference(draw: Draw) -> Bound | None:
    found = sorted({k for k, r in keys(draw.profiles, draw.tables) if safe(k) and safe(r)})
    return column(draw.rng.choice(found)) if found else None


def referred(draw: Draw) -> Bound | None:
    found = sorted(
        r for k, r in keys(draw.profiles, draw.tables) if k == draw.bound["k"].value and safe(r)
    )
    return column(draw.rng.choice(found), 1)


def _partners(t: Cells, s: Slots, name: str | None = None) -> list[tuple[bool, Value | None]]:
    """For each row of the first table: whether it has a partner, and the partner's value of `name`."""
    second = t.beside[s["other"]]
    held = second.values(name or s["r"])
    rows = {key: value for key, value in zip(second.values(s["r"]), held, strict=True)}  # noqa: C416
    return [(key is not None and key in rows, rows.get(key)) for key in t.values(s["k"])]


def _matched(t: Cells, s: Slots) -> Truth:
    return sum(found for found, _ in _partners(t, s))


def _unmatched(t: Cells, s: Slots) -> Truth:
    return sum(not found for found, _ in _partners(t, s))


def _unused(t: Cells, s: Slots) -> Truth:
    used = {*t.values(s["k"])}
    return sum(key not in used for key in t.beside[s["other"]].values(s["r"]))


def _by_partner(t: Cells, s: Slots) -> dict[Value, list[float]]:
    groups: dict[Value, list[float]] = {}
    for (_, group), x in zip(_partners(t, s, s["x"]), t.numbers(s["n"]), strict=True):
        if group is not None and x is not None:
            groups.setdefault(group, []).append(x)
    return groups


def _aggregate(t: Cells, s: Slots) -> Truth:
    return AGGREGATES[s["agg"]](known(_by_partner(t, s).get(s["v"], [])))


def _best(t: Cells, s: Slots) -> Truth:
    return top({g: AGGREGATES[s["agg"]](xs) for g, xs in _by_partner(t, s).items()})[0]


def _left_missing(t: Cells, s: Slots) -> Truth:
    partners = _partners(t, s, s["x"])
    return 100 * sum(value is None for _, value in partners) / len(partners)


def _commonest(t: Cells, s: Slots) -> Truth:
    counts = Counter(value for _, value in _partners(t, s, s["x"]) if value is not None)
    return [*top({value: float(n) for value, n in counts.items()}, s["top"])]


def _partner_mean(t: Cells, s: Slots) -> Truth:
    second = t.beside[s["other"]]
    rows = dict(zip(second.values(s["r"]), second.numbers(s["y"]), strict=True))
    return mean(known([rows.get(key) for key in t.values(s["k"]) if key is not None]))


KEY = {"own": own, "other": other, "k": reference, "r": referred}
MATCH = "Match {k} in the table {own} with {r} in the table {other}. "
FAMILIES = (
    Family(
        name="join_rows",
        slots=KEY,
        wordings=(
            "In how many rows of the table {own} does {k} occur as {r} in the table {other}?",
            MATCH + "How many rows does the inner join have?",
        ),
        code="joined = df.merge(tables[{other}][[{r}]], left_on={k}, right_on={r})\nanswer = len(joined)",
        truth=_matched,
        plan="I join the two tables on {k} and {r} and count the rows.",
        answer="integer",
        tables=2,
    ),
    Family(
        name="join_unmatched",
        slots=KEY,
        wordings=(
            (
                "How many rows of the table {own} have no partner in {other}, because their {k} is missing"
                " or does not occur there as {r}?"
            ),
        ),
        code="answer = (~df[{k}].isin(tables[{other}][{r}])).sum()",
        truth=_unmatched,
        plan="I count the rows whose {k} is not among the values of {r}.",
        answer="integer",
        tables=2,
    ),
    Family(
        name="join_unused_keys",
        slots=KEY,
        wordings=("In how many rows of the table {other} does {r} never occur as {k} in {own}?",),
        code="other = tables[{other}]\nanswer = (~other[{r}].isin(df[{k}])).sum()",
        truth=_unused,
        plan="I count the values of {r} that {k} never takes.",
        answer="integer",
        tables=2,
    ),
    Family(
        name="join_aggregate",
        whole=True,
        slots={
            **KEY,
            "n": amount(),
            "x": category(table=1),
            "v": value_of("x"),
            "agg": words(LEVELS),
        },
        wordings=(
            MATCH + "What is the {agg} {n} of the rows of {own} whose partner has {v} as {x}?",
        ),
        code=(
            "joined = df[[{k}, {n}]].merge(tables[{other}][[{r}, {x}]], left_on={k}, right_on={r})\n"
            "# look\n"
            "answer = joined.loc[joined[{x}] == {v}, {n}].{agg}()"
        ),
        truth=_aggregate,
        plan="I join the tables, keep the rows with {v} and take the {agg} of {n}.",
        tables=2,
        others=(zeros(_aggregate),),
    ),
    Family(
        name="join_best_group",
        slots={**KEY, "n": amount(), "x": category(3, table=1), "agg": words(LEVELS)},
        wordings=(MATCH + "Which {x} of the partners has the highest {agg} {n}?",),
        code=(
            "joined = df[[{k}, {n}]].merge(tables[{other}][[{r}, {x}]], left_on={k}, right_on={r})\n"
            "scores = joined.dropna().groupby({x})[{n}].{agg}()\n"
            "# look\n"
            "answer = scores.idxmax()"
        ),
        truth=_best,
        plan="I join the tables, group {n} by {x} and take the highest {agg}.",
        answer="value",
        of="x",
        tables=2,
        others=(zeros(_best),),
    ),
    Family(
        name="join_left_missing",
        slots={**KEY, "x": lambda draw: draw.pick(lambda c: c.meaning != "empty", 1)},
        wordings=(
            MATCH
            + "After a left join, what percentage of the rows of {own} have no {x}, because there is"
            " no partner or because the partner has none?",
        ),
        code=(
            "lookup = tables[{other}].set_index({r})[{x}]\n"
            "answer = 100 * df[{k}].map(lookup).isna().mean()"
        ),
        truth=_left_missing,
        plan="I look {x} up for each row and take the share that stays without.",
        units="percent",
        tables=2,
    ),
    Family(
        name="join_commonest",
        slots={
            **KEY,
            "x": lambda draw: draw.pick(lambda c: c.kind == "text" and c.distinct > 3, 1),
            "top": pick(2, 3),
        },
        wordings=(
            MATCH + "Which {top} values of {x} do the most rows of {own} get? List them, the most"
            " frequent first.",
        ),
        code=(
            "joined = df[[{k}]].merge(tables[{other}][[{r}, {x}]], left_on={k}, right_on={r})\n"
            "# look\n"
            "answer = joined[{x}].value_counts().head({top}).index.tolist()"
        ),
        truth=_commonest,
        plan="I join the tables and count the values of {x}.",
        answer="list",
        tables=2,
    ),
    Family(
        name="join_partner_mean",
        slots={**KEY, "y": amount(table=1)},
        wordings=(
            MATCH
            + "What is the mean {y} of the partners over the rows of {own} that have one with a"
            " {y}, a partner counting once for each such row?",
        ),
        code=(
            "joined = df[[{k}]].merge(tables[{other}][[{r}, {y}]], left_on={k}, right_on={r})\n"
            "# look\n"
            "answer = joined[{y}].mean()"
        ),
        truth=_partner_mean,
        plan="I join the tables and average {y} over the joined rows.",
        tables=2,
    ),
)
