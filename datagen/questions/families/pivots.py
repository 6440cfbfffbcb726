"""Pivots: two columns against each other."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, top
from datagen.questions.cells import Value
from datagen.questions.families.aggregates import LEVELS
from datagen.questions.family import Family, Slots, Truth, Unasked
from datagen.questions.others import missing_group, zeros
from datagen.questions.slots import amount, category, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

Cell = tuple[Value, Value]


def _cells(t: Cells, s: Slots) -> dict[Cell, list[float]]:
    found: dict[Cell, list[float]] = {}
    rows = zip(t.values(s["c"]), t.values(s["e"]), t.numbers(s["n"]), strict=True)
    for row, column, x in rows:
        if row is not None and column is not None and x is not None:
            found.setdefault((row, column), []).append(x)
    return found


def _counts(t: Cells, s: Slots) -> Counter[Cell]:
    rows = zip(t.values(s["c"]), t.values(s["e"]), strict=True)
    return Counter((a, b) for a, b in rows if a is not None and b is not None)


def _highest(t: Cells, s: Slots) -> Truth:
    return [*top({cell: AGGREGATES[s["agg"]](xs) for cell, xs in _cells(t, s).items()})[0]]


def _spread(t: Cells, s: Slots) -> Truth:
    scores = [AGGREGATES[s["agg"]](xs) for xs in _cells(t, s).values()]
    if len(scores) < 3:
        raise Unasked("too few groups")
    return max(scores) - min(scores)


def _row_share(t: Cells, s: Slots) -> Truth:
    counts = _counts(t, s)
    row = sum(n for (a, _), n in counts.items() if a == s["v"])
    if not row:
        raise Unasked("too few values")
    return 100 * counts[s["v"], s["w"]] / row


def _empty(t: Cells, s: Slots) -> Truth:
    counts = _counts(t, s)
    rows, columns = ({*t.values(s[name])} - {None} for name in "ce")
    return len(rows) * len(columns) - len(counts)


def _largest_share(t: Cells, s: Slots) -> Truth:
    counts = _counts(t, s)
    totals: Counter[Value] = Counter()
    for (row, _), n in counts.items():
        totals[row] += n
    return top({row: counts[row, s["w"]] / n for row, n in totals.items()})[0]


FAMILIES = (
    Family(
        name="pivot_highest",
        slots={"n": amount(), "c": category(), "e": category(), "agg": words(LEVELS)},
        wordings=(
            (
                "For which combination of {c} and {e} is the {agg} {n} highest? List the value of {c}, then"
                " that of {e}."
            ),
            (
                "Pivot the {agg} of {n} with {c} as rows and {e} as columns. Which row and column hold the"
                " highest cell? List both."
            ),
        ),
        code=(
            "known = df.dropna(subset=[{c}, {e}, {n}])\n"
            'pivot = known.pivot_table(index={c}, columns={e}, values={n}, aggfunc="{agg}")\n'
            "# look\n"
            "answer = pivot.stack().idxmax()"
        ),
        truth=_highest,
        plan="I pivot {n} by {c} and {e} and look for the highest cell.",
        answer="list",
        others=(zeros(_highest), missing_group(_highest), missing_group(_highest, "e")),
    ),
    Family(
        name="pivot_spread",
        whole=True,
        slots={"n": amount(), "c": category(), "e": category(), "agg": words(LEVELS)},
        wordings=(
            (
                "Compute the {agg} {n} of each combination of {c} and {e} that has a value. What is the"
                " difference between the highest and the lowest?"
            ),
        ),
        code=(
            "known = df.dropna(subset=[{c}, {e}, {n}])\n"
            "scores = known.groupby([{c}, {e}])[{n}].{agg}()\n"
            "answer = scores.max() - scores.min()"
        ),
        truth=_spread,
        plan="I group by {c} and {e}, take the {agg} of {n} and subtract the lowest from the highest.",
        scaled=True,
        others=(zeros(_spread), missing_group(_spread), missing_group(_spread, "e")),
    ),
    Family(
        name="row_share",
        slots={
            "c": category(),
            "e": category(),
            "v": value_of("c", rows=5),
            "w": value_of("e"),
        },
        wordings=(
            "Of the rows where {c} is {v}, what percentage has {w} as {e}?",
            (
                "In a cross table of {c} (rows) and {e} (columns), what percentage of row {v} lies in column"
                " {w}?"
            ),
        ),
        code=(
            "table = pd.crosstab(df[{c}], df[{e}])\n"
            "answer = 100 * table.loc[{v}, {w}] / table.loc[{v}].sum()"
        ),
        truth=_row_share,
        plan="I cross {c} with {e} and divide the cell by the sum of its row.",
        units="percent",
        others=(missing_group(_row_share, "e"),),
    ),
    Family(
        name="empty_cells",
        slots={"c": category(3), "e": category(3)},
        wordings=(
            (
                "How many combinations of a value of {c} and a value of {e}, both occurring in the table,"
                " occur together in no row?"
            ),
        ),
        code=(
            "pairs = df[[{c}, {e}]].dropna().drop_duplicates()\n"
            "answer = df[{c}].nunique() * df[{e}].nunique() - len(pairs)"
        ),
        truth=_empty,
        plan="I subtract the combinations of {c} and {e} that occur from all that could.",
        answer="integer",
        others=(missing_group(_empty), missing_group(_empty, "e")),
    ),
    Family(
        name="largest_row_share",
        slots={"c": category(3), "e": category(), "w": value_of("e", rows=3)},
        wordings=(
            (
                "For which {c} do the largest share of its rows have {w} as {e}? Rows without {e} do not"
                " count."
            ),
        ),
        code=(
            'table = pd.crosstab(df[{c}], df[{e}], normalize="index")\n'
            "# look\n"
            "answer = table[{w}].idxmax()"
        ),
        truth=_largest_share,
        plan="I cross {c} with {e}, each row as shares, and compare column {w}.",
        answer="value",
        of="c",
        others=(missing_group(_largest_share),),
    ),
)
