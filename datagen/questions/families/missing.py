"""Missing data and cleaning: gaps, imputation, duplicates, sentinel values."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, deviation, mean, median, top
from datagen.questions.bound import Bound, cell
from datagen.questions.families.aggregates import AVERAGES
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import chosen, known, where
from datagen.questions.others import missing_group
from datagen.questions.slots import Draw, amount, category, gappy, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

SENTINELS = (0.0, -1.0, 99.0, 999.0, 9999.0, -9.0, -99.0, -999.0, -9999.0)
LEAST_REPEATS = 3


def suspect(draw: Draw) -> Bound | None:
    """A number often used for "unknown" that stands at an end of column n, and stands there repeatedly."""
    values = known(draw.cells.numbers(str(draw.bound["n"].value)), 1)
    counts = Counter(values)
    ends = {min(values), max(values)}
    found = [x for x in SENTINELS if x in ends and counts[x] >= LEAST_REPEATS]
    return cell(int(draw.rng.choice(found))) if found else None


def _complete(t: Cells, s: Slots) -> Truth:
    del s
    return sum(None not in row for row in zip(*t.text.values(), strict=True))


def _most_gaps(t: Cells, s: Slots) -> Truth:
    del s
    return top({name: float(column.count(None)) for name, column in t.text.items()})[0]


def _all_gaps(t: Cells, s: Slots) -> Truth:
    del s
    gaps = sum(column.count(None) for column in t.text.values())
    return 100 * gaps / (t.rows * len(t.text))


def _filled(t: Cells, s: Slots) -> list[float]:
    column = t.numbers(s["n"])
    fill = AGGREGATES[s["fill"]](known(column))
    return [fill if x is None else x for x in column]


def _filled_mean(t: Cells, s: Slots) -> Truth:
    return mean(_filled(t, s))


def _filled_deviation(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    return deviation(_filled(t, s), ddof)


def _filled_by_group(t: Cells, s: Slots) -> Truth:
    column, groups = t.numbers(s["n"]), t.values(s["c"])
    own: dict[object, list[float]] = {}
    for group, x in zip(groups, column, strict=True):
        if group is not None and x is not None:
            own.setdefault(group, []).append(x)
    filled = []
    for group, x in zip(groups, column, strict=True):
        value = x if x is not None else median(own[group]) if group in own else None
        filled.append(value)
    if filled == column:
        raise Unasked("nothing to fill")
    return mean(known(filled))


def _gaps_where(t: Cells, s: Slots) -> Truth:
    rows = chosen(t.text[s["n"]], where(t, s["c"], s["v"]))
    return 100 * rows.count(None) / len(rows)


def _group_with_most_gaps(t: Cells, s: Slots) -> Truth:
    gaps = dict.fromkeys(known(t.values(s["c"])), 0.0)
    for group, value in zip(t.values(s["c"]), t.text[s["n"]], strict=True):
        if group is not None:
            gaps[group] += value is None
    return top(gaps)[0]


def _repeats(t: Cells, s: Slots, *, every: bool = False) -> Truth:
    rows = Counter(zip(t.values(s["c"]), t.values(s["e"]), strict=True))
    return sum(n if every and n > 1 else n - 1 for n in rows.values())


def _first_of_each(t: Cells, s: Slots, *, last: bool = False) -> Truth:
    kept: dict[object, float | None] = {}
    for key, x in zip(t.values(s["c"]), t.numbers(s["n"]), strict=True):
        if key is not None and (last or key not in kept):
            kept[key] = x
    return math.fsum(known([*kept.values()]))


def _without_sentinel(t: Cells, s: Slots) -> Truth:
    return AGGREGATES[s["agg"]]([x for x in known(t.numbers(s["n"])) if x != s["u"]])


def _carried(t: Cells, s: Slots) -> Truth:
    filled, last = [], None
    for x in t.numbers(s["n"]):
        last = last if x is None else x
        filled.append(last)
    return mean(known(filled))


FILL = words(AVERAGES)
FAMILIES = (
    Family(
        name="complete_rows",
        slots={"m": gappy()},
        wordings=("How many rows have no missing value in any column?",),
        code="answer = len(df.dropna())",
        truth=_complete,
        plan="I drop every row with a missing value and count the rest.",
        answer="integer",
    ),
    Family(
        name="most_missing",
        slots={"m": gappy()},
        wordings=("Which column has the most missing values?",),
        code="answer = df.isna().sum().idxmax()",
        truth=_most_gaps,
        plan="I count the missing values of each column.",
        answer="text",
        form="Answer with the column's name.",
    ),
    Family(
        name="missing_share",
        slots={"m": gappy()},
        wordings=("What percentage of all cells of the table (header not counted) is missing?",),
        code="answer = 100 * df.isna().sum().sum() / df.size",
        truth=_all_gaps,
        plan="I divide the number of missing cells by the number of cells.",
        units="percent",
    ),
    Family(
        name="impute_then_deviation",
        slots={"n": amount(missing=True), "fill": FILL},
        wordings=(
            (
                "Replace each missing {n} by the {fill} of the known ones. What is the standard deviation"
                " of {n} then?"
            ),
        ),
        code="filled = df[{n}].fillna(df[{n}].{fill}())\nanswer = filled.std()",
        truth=_filled_deviation,
        plan="I fill the gaps of {n} with the {fill}, then take the standard deviation.",
        scaled=True,
        others=(
            Other(
                "divided by n",
                lambda t, s: _filled_deviation(t, s, 0),
                "Use the sample formula (divide by n - 1).",
            ),
        ),
    ),
    Family(
        name="impute_median_mean",
        slots={"n": amount(missing=True), "fill": words({"median": "median"})},
        wordings=(
            "Fill the missing values of {n} with its {fill}. What is the mean of {n} after that?",
        ),
        code="filled = df[{n}].fillna(df[{n}].{fill}())\nanswer = filled.mean()",
        truth=_filled_mean,
        plan="I fill the gaps of {n} with the {fill} and average.",
        scaled=True,
    ),
    Family(
        name="impute_by_group",
        slots={"n": amount(missing=True), "c": category()},
        wordings=(
            (
                "Replace each missing {n} by the median {n} of the rows with the same {c} (leave it missing"
                " where all of them are missing). What is the mean of {n} then, missing values left out?"
            ),
        ),
        code=(
            'own = df.groupby({c})[{n}].transform("median")\n'
            "filled = df[{n}].fillna(own)\n"
            "# look\n"
            "answer = filled.mean()"
        ),
        truth=_filled_by_group,
        plan="I compute the median of {n} by {c} and fill the gaps with it.",
        others=(missing_group(_filled_by_group),),
        scaled=True,
    ),
    Family(
        name="missing_where",
        slots={"n": gappy(), "c": category(), "v": value_of("c", rows=5)},
        wordings=("What percentage of the rows where {c} is {v} have no {n}?",),
        code="answer = 100 * df.loc[df[{c}] == {v}, {n}].isna().mean()",
        truth=_gaps_where,
        plan="I keep the rows where {c} is {v} and take the share without {n}.",
        units="percent",
    ),
    Family(
        name="group_most_missing",
        slots={"n": gappy(), "c": category(3)},
        wordings=("For which {c} is {n} missing in the most rows?",),
        code=("gaps = df[{n}].isna().groupby(df[{c}]).sum()\n# look\nanswer = gaps.idxmax()"),
        truth=_group_with_most_gaps,
        plan="I count the rows without {n} for each {c}.",
        answer="value",
        of="c",
    ),
    Family(
        name="repeated_combinations",
        slots={"c": category(), "e": category()},
        wordings=(
            (
                "How many rows repeat the combination of {c} and {e} of an earlier row? Two missing values"
                " count as equal."
            ),
        ),
        code="answer = df.duplicated([{c}, {e}]).sum()",
        truth=_repeats,
        plan="I count the rows that are duplicates in {c} and {e}.",
        answer="integer",
        others=(
            Other(
                "every member counted",
                lambda t, s: _repeats(t, s, every=True),
                "The first row of each combination does not count.",
            ),
        ),
    ),
    Family(
        name="first_of_each",
        whole=True,
        slots={"n": amount(), "c": category(3)},
        wordings=(
            (
                "Keep only the first row of each {c}, in the order of the table. What is the total {n} of"
                " these rows?"
            ),
        ),
        code=("rows = df.dropna(subset=[{c}]).drop_duplicates({c})\nanswer = rows[{n}].sum()"),
        truth=_first_of_each,
        plan="I drop all but the first row of each {c} and sum {n}.",
        others=(missing_group(_first_of_each),),
    ),
    Family(
        name="sentinel",
        slots={"n": amount(), "u": suspect, "agg": words(AVERAGES)},
        wordings=(
            "In {n} the value {u} stands for unknown. What is the {agg} of the other values?",
            "Take {u} in {n} as missing. What is the {agg} {n} then?",
        ),
        code="values = df[{n}].mask(df[{n}] == {u})\nanswer = values.{agg}()",
        truth=_without_sentinel,
        plan="I turn {u} into missing and take the {agg} of {n}.",
        scaled=True,
    ),
    Family(
        name="carry_forward",
        slots={"n": amount(missing=True)},
        wordings=(
            (
                "In the order of the table, replace each missing {n} by the last known one above it (leave"
                " it missing where none above is known). What is the mean of {n} then?"
            ),
        ),
        code="filled = df[{n}].ffill()\nanswer = filled.mean()",
        truth=_carried,
        plan="I carry the last known {n} forward and average.",
        scaled=True,
    ),
)
