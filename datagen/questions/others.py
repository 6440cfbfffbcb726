"""Readings that many families share: missing values as zeros or as a group of their own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from datagen.questions.family import Computation, Other, Slots, Truth

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

MISSING_GROUP = "(missing)"


def zeros(truth: Computation, slot: str = "n") -> Other:
    """Missing numbers of the column in `slot` counted as zero."""

    def computed(cells: Cells, slots: Slots) -> Truth:
        name, changed = slots[slot], copy.copy(cells)
        column = [0.0 if x is None else x for x in cells.numbers(name)]
        changed.__dict__["numbers"] = lambda other: (
            column if other == name else cells.numbers(other)
        )
        return truth(changed, slots)

    return Other("missing as zero", computed, f"Leave out missing values of {{{slot}}}.")


def missing_group(truth: Computation, slot: str = "c") -> Other:
    """Rows without a group taken as a group of their own."""

    def computed(cells: Cells, slots: Slots) -> Truth:
        name, changed = slots[slot], copy.copy(cells)
        column = [MISSING_GROUP if x is None else x for x in cells.values(name)]
        changed.__dict__["values"] = lambda other: column if other == name else cells.values(other)
        return truth(changed, slots)

    return Other("missing as a group", computed, f"Rows without {{{slot}}} belong to no group.")
