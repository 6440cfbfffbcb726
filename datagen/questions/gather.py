"""The cells a truth computes with: known values, pairs, groups; rows where something is missing left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from datagen.questions.arithmetic import AGGREGATES
from datagen.questions.cells import Cells, Value
from datagen.questions.family import Unasked

T = TypeVar("T")


def known(column: Sequence[T | None], least: int = 3) -> list[T]:
    """The values that are not missing; refused when there are fewer than `least`."""
    values = [x for x in column if x is not None]
    if len(values) < least:
        raise Unasked("too few values")
    return values


def pairs(cells: Cells, first: str, second: str) -> list[tuple[float, float]]:
    """Rows with a number in both columns."""
    both = zip(cells.numbers(first), cells.numbers(second), strict=True)
    return [(x, y) for x, y in both if x is not None and y is not None]


def grouped(cells: Cells, by: str, name: str) -> dict[Value, list[float]]:
    """The numbers of a column by group, in the order groups first occur."""
    groups: dict[Value, list[float]] = {}
    for group, x in zip(cells.values(by), cells.numbers(name), strict=True):
        if group is not None and x is not None:
            groups.setdefault(group, []).append(x)
    return groups


def levels(cells: Cells, by: str, name: str, aggregate: str = "mean") -> dict[Value, float]:
    """An aggregate (a word of AGGREGATES) of each group's numbers."""
    return {g: AGGREGATES[aggregate](xs) for g, xs in grouped(cells, by, name).items()}


def where(cells: Cells, by: str, value: Value) -> list[bool]:
    return [cell == value for cell in cells.values(by)]


def chosen(column: Sequence[T], keep: Sequence[bool]) -> list[T]:
    return [x for x, kept in zip(column, keep, strict=True) if kept]
