"""Slots that draw a column by its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.database import constant
from datagen.questions.slots.bound import Bound

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw, Slot
    from datagen.tables.column_profile import ColumnProfile

GROUPS = 60
FEW = 12


def is_amount(c: ColumnProfile) -> bool:
    """Numbers that can be averaged: no identifiers, codes or years."""
    return c.numeric and c.meaning == "amount" and c.distinct > 2


def amount(*, missing: bool = False, low: float | None = None, table: int = 0) -> Slot:
    """A column of amounts (not identifiers, not codes), with missing values or at least `low` if asked."""

    def fits(c: ColumnProfile) -> bool:
        return (
            is_amount(c)
            and (not missing or c.missing > 0)
            and (low is None or (c.low is not None and c.low >= low))
        )

    return lambda draw: draw.pick(fits, table)


def category(low: int = 2, high: int = GROUPS, table: int = 0, *, words: bool = False) -> Slot:
    """A column of repeating values to group by: text (only text with `words`), booleans, few whole numbers."""

    def fits(c: ColumnProfile) -> bool:
        few = c.kind == "integer" and c.meaning in {"amount", "calendar"} and c.distinct <= FEW
        grouping = c.meaning == "category" and c.kind in {"text", "boolean"}
        fitting = c.kind == "text" and c.meaning == "category" if words else grouping or few
        return fitting and low <= c.distinct <= high

    return lambda draw: draw.pick(fits, table)


def text(low: int = 5, table: int = 0) -> Slot:
    """A column of text with at least `low` different values."""
    return lambda draw: draw.pick(lambda c: c.kind == "text" and c.distinct >= low, table)


def some(table: int = 0) -> Slot:
    """Any column that is not empty."""
    return lambda draw: draw.pick(lambda c: c.meaning != "empty", table)


def label() -> Slot:
    """A column that names each row: text or whole numbers, no value twice, none missing."""

    def slot(draw: Draw) -> Bound | None:
        return draw.pick(
            lambda c: (
                c.kind in {"text", "integer"}
                and c.meaning in {"identifier", "calendar", "text"}
                and c.distinct == draw.profile.rows
            )
        )

    return slot


def gappy() -> Slot:
    """Any column with missing values."""
    return lambda draw: draw.pick(lambda c: c.missing > 0 and c.meaning != "empty")


def amounts(slot: str = "n") -> Slot:
    """Every other column of amounts, as a list; at least two. In SQL, a list of names and numbers."""

    def fill(draw: Draw) -> Bound | None:
        names = [c.name for c in draw.profile.columns if is_amount(c)]
        bound = [draw.named(name) for name in names if name != draw.bound[slot].value]
        if len(bound) < 2:
            return None
        return Bound(
            [b.value for b in bound],
            ", ".join(b.text for b in bound),
            f"[{', '.join(b.literal for b in bound)}]",
            sql=f"[{', '.join(f'{{name: {constant(b.value)}, x: {b.sql}::double}}' for b in bound)}]",
        )

    return fill
