"""How a slot is filled: columns by their meaning, values and thresholds from the column's cells."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datagen.questions.bound import Bound, cell, column

if TYPE_CHECKING:
    from datagen.questions.cells import Cells, Value
    from datagen.tables.column_profile import ColumnProfile
    from datagen.tables.table import TableProfile

UNSAFE = set("\"'\\\n\r\t{}`")
GROUPS = 60
FEW = 12


@dataclass
class Draw:
    """One attempt to fill a family's slots, in the order they are declared."""

    profiles: Sequence[TableProfile]
    tables: Sequence[Cells]
    rng: random.Random
    bound: dict[str, Bound] = field(default_factory=dict)

    @property
    def profile(self) -> TableProfile:
        return self.profiles[0]

    @property
    def cells(self) -> Cells:
        return self.tables[0]

    def values(self) -> dict[str, object]:
        return {name: bound.value for name, bound in self.bound.items()}

    def column(self, slot: str) -> ColumnProfile:
        """The profile of the column in `slot`."""
        bound = self.bound[slot]
        return next(c for c in self.profiles[bound.table].columns if c.name == bound.value)

    def cells_of(self, slot: str) -> Cells:
        """The table that the column in `slot` belongs to."""
        return self.tables[self.bound[slot].table]

    def pick(self, fits: Callable[[ColumnProfile], bool], table: int = 0) -> Bound | None:
        """A column that fits and whose name is in no other slot."""
        used = [bound.value for bound in self.bound.values()]
        free = [
            c
            for c in self.profiles[table].columns
            if fits(c) and c.name not in used and safe(c.name)
        ]
        return column(self.rng.choice(free).name, table) if free else None


Slot = Callable[[Draw], Bound | None]


def safe(text: str) -> bool:
    """Whether a name or value reads plainly inside quotes, in a sentence and in code."""
    return bool(text) and len(text) <= 60 and not UNSAFE & set(text) and text == text.strip()


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


def category(low: int = 2, high: int = GROUPS, table: int = 0) -> Slot:
    """A column of repeating values to group by: text, booleans, or whole numbers of few values."""

    def fits(c: ColumnProfile) -> bool:
        few = c.kind == "integer" and c.meaning in {"amount", "calendar"} and c.distinct <= FEW
        grouping = c.meaning == "category" and c.kind in {"text", "boolean"}
        return (grouping or few) and low <= c.distinct <= high

    return lambda draw: draw.pick(fits, table)


def dates() -> Slot:
    return lambda draw: draw.pick(lambda c: c.kind == "date" and c.distinct > 1)


def text(low: int = 5) -> Slot:
    """A column of text with at least `low` different values."""
    return lambda draw: draw.pick(lambda c: c.kind == "text" and c.distinct >= low)


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


def value_of(slot: str, *, rows: int = 1, other_than: str | None = None) -> Slot:
    """A value that occurs in at least `rows` rows of the column in `slot`."""

    def fill(draw: Draw) -> Bound | None:
        counts = Counter(draw.cells_of(slot).values(str(draw.bound[slot].value)))
        taken = draw.bound[other_than].value if other_than else None
        free: list[Value] = sorted(
            (
                v
                for v, n in counts.items()
                if v is not None and n >= rows and v != taken and safe(str(v))
            ),
            key=str,
        )
        return cell(draw.rng.choice(free)) if free else None

    return fill


def threshold(slot: str, low: float = 0.2, high: float = 0.8) -> Slot:
    """A number between two percentiles of the column in `slot`, written as the column writes numbers."""

    def fill(draw: Draw) -> Bound | None:
        name = str(draw.bound[slot].value)
        values = sorted(x for x in draw.cells.numbers(name) if x is not None)
        if not values:
            return None
        value = values[int(draw.rng.uniform(low, high) * len(values))]
        return cell(int(value) if draw.column(slot).kind == "integer" else float(f"{value:.4g}"))

    return fill


def pick(*options: str | float) -> Slot:
    """One of these, bare in text and code."""

    def fill(draw: Draw) -> Bound:
        value = draw.rng.choice(options)
        return Bound(value, str(value), repr(value) if not isinstance(value, str) else value)

    return fill


def words(options: Mapping[str, str]) -> Slot:
    """A word for the wording and the bare piece of code it stands for; the truth sees the word."""

    def fill(draw: Draw) -> Bound:
        word = draw.rng.choice([*options])
        return Bound(word, word, options[word])

    return fill
