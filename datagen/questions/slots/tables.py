"""How slots about two tables are filled: their names, and the columns they are joined on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.joining import keys
from datagen.questions.slots.bound import Bound, column
from datagen.questions.slots.draw import safe

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw, Slot


def own() -> Slot:
    return lambda draw: column(draw.profiles[0].name) if safe(draw.profiles[0].name) else None


def other() -> Slot:
    def fill(draw: Draw) -> Bound | None:
        names = [p.name for p in draw.profiles]
        return column(names[1]) if safe(names[1]) and names[0] != names[1] else None

    return fill


def reference() -> Slot:
    """The column of the first table that refers to a key of the second."""

    def fill(draw: Draw) -> Bound | None:
        found = sorted({k for k, r in keys(draw.profiles, draw.tables) if safe(k) and safe(r)})
        return draw.named(draw.rng.choice(found)) if found else None

    return fill


def referred(slot: str = "k") -> Slot:
    """The key of the second table that the column in `slot` refers to."""

    def fill(draw: Draw) -> Bound | None:
        own = draw.bound[slot].value
        found = sorted(r for k, r in keys(draw.profiles, draw.tables) if k == own and safe(r))
        return draw.named(draw.rng.choice(found), 1)

    return fill
