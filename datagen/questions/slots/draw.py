"""One attempt to fill a question's slots from the profiles and cells of its tables."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datagen.questions.slots.bound import Bound, column

if TYPE_CHECKING:
    from pydantic import JsonValue

    from datagen.questions.cells import Cells
    from datagen.questions.database import Database
    from datagen.tables.column_profile import ColumnProfile
    from datagen.tables.table import TableProfile

UNSAFE = set("\"'\\\n\r\t{}`")


@dataclass
class Draw:
    """One attempt to fill a family's slots, in the order they are declared."""

    profiles: Sequence[TableProfile]
    tables: Sequence[Cells]
    rng: random.Random
    database: Database
    bound: dict[str, Bound] = field(default_factory=dict)

    @property
    def profile(self) -> TableProfile:
        return self.profiles[0]

    @property
    def cells(self) -> Cells:
        return self.tables[0]

    def values(self) -> dict[str, JsonValue]:
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
        return self.named(self.rng.choice(free).name, table) if free else None

    def named(self, name: str, table: int = 0) -> Bound:
        """The column of that name."""
        at = next(at for at, c in enumerate(self.profiles[table].columns) if c.name == name)
        return column(name, table, at)


Slot = Callable[[Draw], Bound | None]


def safe(text: str) -> bool:
    """Whether a name or value reads plainly inside quotes, in a sentence and in code."""
    return bool(text) and len(text) <= 60 and not UNSAFE & set(text) and text == text.strip()
