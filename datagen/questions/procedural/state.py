"""What programs work on, in plain Python: rows, series and answers. No pandas: this is the second route.

A step that cannot be asked about with one defensible answer raises `Refused` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from datagen.judge.answer_types import AnswerType

Use = Literal["amount", "label", "period", "day", "words", "key"]
FEWEST_ROWS = 5
NEAR = 1e-9


class Refused(Exception):  # noqa: N818 - a finding about a program, not a fault
    """Why a program is not asked; the message is a reason that is counted."""


@dataclass(frozen=True)
class Column:
    """A column of the whole table; None is a missing value.

    `uses` says what a program may do with it: amount (compute), label (group by, compare with),
    period (a whole number that orders time, such as a year), day (a date), words (free text), key
    (no two rows share a value). `format` is how the file writes a date, where that is known. `fresh`
    columns came with a step; `computed` ones are in no file.
    """

    name: str
    kind: str
    uses: frozenset[Use]
    values: Sequence[Any]
    format: str | None = None
    fresh: bool = False
    computed: bool = False


@dataclass(frozen=True)
class Rows:
    """Some rows of a table, in order; `others` are the tables that can be joined to it."""

    columns: Mapping[str, Column]
    index: Sequence[int]
    others: Mapping[str, Rows] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    def column(self, name: str) -> Column:
        if name not in self.columns:
            raise Refused("a step lacks its column")
        return self.columns[name]

    def values(self, name: str) -> list[Any]:
        """The values of these rows, None where missing."""
        values = self.column(name).values
        return [values[at] for at in self.index]

    def present(self, name: str) -> list[Any]:
        """The values without the missing ones; a note says that there were some."""
        return [value for value in self.values(name) if value is not None]

    def grouped(self, name: str, by: str) -> dict[Any, list[Any]]:
        """A column's present values by label of `by`. Raises Refused with fewer than two groups."""
        groups: dict[Any, list[Any]] = {}
        for label, x in zip(self.values(by), self.values(name), strict=True):
            if x is not None and label is not None:
                groups.setdefault(label, []).append(x)
        if len(groups) < 2:
            raise Refused("fewer than two groups")
        return groups

    def having(self, use: Use) -> list[Column]:
        """The columns with this use, those that a program made last first."""
        found = [column for column in self.columns.values() if use in column.uses]
        return sorted(found, key=lambda column: not column.fresh)

    def exact(self, name: str) -> bool:
        """Whether a column's values are the same on every route: not computed, or whole numbers."""
        column = self.column(name)
        return not column.computed or column.kind != "number"

    def keep(self, mask: Iterable[bool]) -> Rows:
        index = [at for at, kept in zip(self.index, mask, strict=True) if kept]
        if len(index) < FEWEST_ROWS:
            raise Refused("too few rows are left")
        return replace(self, index=index)

    def ordered(self, index: Sequence[int]) -> Rows:
        return replace(self, index=index)

    def add(
        self,
        name: str,
        kind: str,
        uses: set[Use],
        values: Sequence[Any],
        *,
        like: Column | None = None,
    ) -> Rows:
        """These rows with one more column; `values` has one value for each of them, in order.

        A column that was in a file is `like` it, any other is computed.
        """
        if name in self.columns:
            raise Refused("two columns of one name")
        size = max((len(column.values) for column in self.columns.values()), default=0)
        whole: list[Any] = [None] * size
        for at, value in zip(self.index, values, strict=True):
            whole[at] = value
        made = Column(
            name=name,
            kind=kind,
            uses=frozenset(uses),
            values=whole,
            format=like.format if like else None,
            fresh=True,
            computed=like is None,
        )
        return replace(self, columns={**self.columns, name: made})

    def note(self, text: str) -> Rows:
        return self if text in self.notes else replace(self, notes=(*self.notes, text))

    def ignoring(self, *names: str) -> Rows:
        """These rows, with a note for each of the columns that has missing values in them."""
        found = self
        for name in names:
            if not self.column(name).computed and None in self.values(name):
                found = found.note(f'Leave out missing values of "{name}".')
        return found


@dataclass(frozen=True)
class Series:
    """One number for each label. `by` names the labels; `ordered` when they follow time."""

    by: str
    kind: str
    labels: Sequence[Any]
    values: Sequence[float]
    whole: bool
    additive: bool
    ordered: bool
    notes: tuple[str, ...] = ()

    def keep(self, mask: Iterable[bool]) -> Series:
        kept = [at for at, wanted in enumerate(mask) if wanted]
        if len(kept) < 2:
            raise Refused("fewer than two groups")
        return replace(
            self,
            labels=[self.labels[at] for at in kept],
            values=[self.values[at] for at in kept],
        )

    def changed(self, labels: Sequence[Any], values: Sequence[float], *, whole: bool) -> Series:
        if len(labels) < 3:
            raise Refused("fewer than three groups")
        return replace(self, labels=labels, values=values, whole=whole, additive=False)

    def note(self, text: str) -> Series:
        return self if text in self.notes else replace(self, notes=(*self.notes, text))


@dataclass(frozen=True)
class Answer:
    """The value a program submits, before rounding."""

    value: Any
    type: AnswerType
    notes: tuple[str, ...] = ()


State = Rows | Series | Answer


def apart(first: float, second: float) -> bool:
    """Whether two numbers differ by more than floating-point noise."""
    return abs(first - second) > NEAR * max(1.0, abs(first), abs(second))


def border(values: Sequence[float], count: int, *, highest: bool) -> Callable[[float | None], bool]:
    """Whether a value is among the `count` highest (or lowest). Raises Refused on a tie there."""
    if len(values) <= count:
        raise Refused("a top n that takes all")
    ranked = sorted(values, reverse=highest)
    if not apart(ranked[count - 1], ranked[count]):
        raise Refused("a tie")
    middle = (ranked[count - 1] + ranked[count]) / 2
    return lambda x: x is not None and (x > middle if highest else x < middle)


def clear_of(values: Iterable[float | None], limit: float, *, exact: bool = True) -> None:
    """Raise Refused when a value is so near the limit that rounding decides its side.

    `exact`: the values are as the table writes them, so that one may equal the limit.
    """
    for x in values:
        if x is not None and not apart(x, limit) and not (exact and x == limit):
            raise Refused("a value on the border")


def finite(value: float) -> float:
    if not math.isfinite(value):
        raise Refused("not a finite number")
    return value
