"""Ground truth of the basic families, computed from the CSV's text without pandas.

The teacher's code runs pandas in the sandbox; this is the second, independent route that its answer
has to agree with.
"""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datagen.questions.cells import Cells

Slots = dict[str, str]
Truth = int | float | str
AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "largest": max,
    "smallest": min,
    "total": lambda values: float(sum(values)),
}


def where(cells: Cells, slots: Slots) -> list[bool]:
    """Which rows meet every condition the slots name: c = v, m > t (or n > t without an m)."""
    keep = [True] * cells.rows
    if "v" in slots:
        keep = [cell == slots["v"] for cell in cells.text[slots["c"]]]
    if "t" in slots:
        column, limit = cells.numbers(slots.get("m", slots["n"])), float(slots["t"])
        keep = [k and x is not None and x > limit for k, x in zip(keep, column, strict=True)]
    return keep


def selected(cells: Cells, slots: Slots) -> list[float]:
    """The values of n in the rows that meet the conditions, without missing ones."""
    pairs = zip(cells.numbers(slots["n"]), where(cells, slots), strict=True)
    return [x for x, keep in pairs if keep and x is not None]


def aggregate(cells: Cells, slots: Slots) -> Truth | None:
    """An aggregate of n; None when fewer than three rows are left to aggregate."""
    values = selected(cells, slots)
    return AGGREGATES[slots["agg"]](values) if len(values) > 2 else None


def count(cells: Cells, slots: Slots) -> Truth | None:
    return sum(where(cells, slots)) or None


def count_below(cells: Cells, slots: Slots) -> Truth | None:
    limit = float(slots["t"])
    return sum(x is not None and x < limit for x in cells.numbers(slots["n"])) or None


def distinct(cells: Cells, slots: Slots) -> Truth | None:
    return len(set(cells.text[slots["c"]]) - {None})


def missing(cells: Cells, slots: Slots) -> Truth | None:
    return cells.text[slots["n"]].count(None)


def most_common(cells: Cells, slots: Slots) -> Truth | None:
    """The value that occurs most; None when two occur equally often."""
    top = Counter(cell for cell in cells.text[slots["c"]] if cell is not None).most_common(2)
    return top[0][0] if len(top) == 1 or top[0][1] > top[1][1] else None


def group_top(cells: Cells, slots: Slots) -> Truth | None:
    """The group with the highest aggregate; None when the two highest are within 1e-6 of each other."""
    groups: dict[str, list[float]] = {}
    for group, x in zip(cells.text[slots["c"]], cells.numbers(slots["n"]), strict=True):
        if group is not None and x is not None:
            groups.setdefault(group, []).append(x)
    ranked = sorted(groups, key=lambda group: AGGREGATES[slots["gagg"]](groups[group]))
    scores = [AGGREGATES[slots["gagg"]](groups[group]) for group in ranked]
    if len(ranked) < 2 or scores[-1] - scores[-2] <= 1e-6 * max(1.0, abs(scores[-1])):
        return None
    return ranked[-1]


def share(cells: Cells, slots: Slots) -> Truth | None:
    return sum(where(cells, slots)) / cells.rows or None


def spread(cells: Cells, slots: Slots) -> Truth | None:
    values = selected(cells, slots)
    return max(values) - min(values)
