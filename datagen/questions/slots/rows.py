"""How the slots of a program's steps are filled from the rows so far: groups, several values, counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.slots.bound import Bound, cell
from datagen.questions.slots.columns import is_amount
from datagen.questions.slots.draw import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.questions.slots.draw import Draw, Slot
    from datagen.tables.column_profile import ColumnProfile

ROWS_A_GROUP = 4
MOST_PERIODS = 50
COUNTS = (5, 10, 15, 20, 25, 30, 40, 50, 100, 200)
GROUP_COUNTS = (2, 3, 4, 5, 10)
FEW = 12


def group(low: int = 2) -> Slot:
    """A column to group by, four rows a value or more: a category, years, or whole numbers of few values."""

    def fill(draw: Draw) -> Bound | None:
        def fits(c: ColumnProfile) -> bool:
            years = c.kind == "integer" and c.meaning == "calendar" and c.distinct <= MOST_PERIODS
            few = c.kind == "integer" and c.meaning == "amount" and c.distinct <= FEW
            often = ROWS_A_GROUP * c.distinct <= draw.profile.rows
            return (c.meaning == "category" or years or few) and c.distinct >= low and often

        return draw.pick(fits)

    return fill


def comparable() -> Slot:
    """A column to compare with a limit: amounts, or years and other parts of a calendar."""
    return lambda draw: draw.pick(
        lambda c: is_amount(c) or (c.numeric and c.meaning == "calendar" and c.distinct > 2)
    )


def repeated() -> Slot:
    """A column of text, booleans or whole numbers in which values stand more than once."""
    return lambda draw: draw.pick(
        lambda c: (
            c.kind in {"text", "boolean", "integer"}
            and (
                c.meaning in {"category", "calendar"} or (c.kind == "text" and c.meaning == "text")
            )
            and 1 < c.distinct < draw.profile.rows
        )
    )


def values_of(slot: str) -> Slot:
    """Two or three values of the column in `slot`, and at least two others left."""

    def fill(draw: Draw) -> Bound | None:
        found = {*draw.cells.values(str(draw.bound[slot].value))}
        free = sorted((v for v in found if v is not None and safe(str(v))), key=str)
        if len(free) < 4:
            return None
        return several(
            sorted(draw.rng.sample(free, draw.rng.choice([2, 3][: len(free) - 3])), key=str)
        )

    return fill


def several(values: Sequence[str | float | bool]) -> Bound:
    """Values as a list in code and SQL, and joined by "or" in text."""
    *rest, last = [cell(value) for value in values]
    return Bound(
        list(values),
        f"{', '.join(b.text for b in rest)} or {last.text}",
        f"[{', '.join(b.literal for b in (*rest, last))}]",
        sql=f"({', '.join(b.sql for b in (*rest, last))})",
    )


def piece_of(slot: str, how: str = "how") -> Slot:
    """One to four characters of a value of the column in `slot`, from where slot `how` looks for them."""

    def fill(draw: Draw) -> Bound | None:
        present = [
            v for v in draw.cells.values(str(draw.bound[slot].value)) if v and len(str(v)) > 2
        ]
        if not present:
            return None
        text = str(draw.rng.choice(present))
        size = draw.rng.randint(1, min(4, len(text) - 1))
        ends = {"starts with": 0, "ends with": len(text) - size}
        at = ends.get(str(draw.bound[how].value), len(text) // 2)
        piece = text[at : at + size]
        return cell(piece) if piece.isalnum() else None

    return fill


def size_of(slot: str) -> Slot:
    """How often a value of the column in `slot` occurs, neither the fewest nor the most times."""

    def fill(draw: Draw) -> Bound | None:
        counts = Counter(v for v in draw.cells.values(str(draw.bound[slot].value)) if v is not None)
        sizes = sorted({*counts.values()})[1:-1]
        return cell(draw.rng.choice(sizes)) if sizes else None

    return fill


def few_rows() -> Slot:
    """A round number of rows, at most a quarter of the table."""
    return lambda draw: _count(draw, [n for n in COUNTS if 4 * n <= draw.profile.rows])


def fewer_groups() -> Slot:
    """A number of groups that leaves out some."""
    return lambda draw: _count(draw, [n for n in GROUP_COUNTS if n < draw.cells.rows])


def _count(draw: Draw, free: Sequence[int]) -> Bound | None:
    return cell(draw.rng.choice(free)) if free else None
