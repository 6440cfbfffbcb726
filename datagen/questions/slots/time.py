"""How slots about time are filled: columns of dates, days, years and months of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.slots.bound import Bound

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw, Slot

MONTHS = (
    "January February March April May June July August September October November December"
).split()


def dates() -> Slot:
    return lambda draw: draw.pick(lambda c: c.kind == "date" and c.distinct > 1)


def day_of(slot: str, *, low: float, high: float) -> Slot:
    """A date between two percentiles of the column in `slot`."""

    def fill(draw: Draw) -> Bound | None:
        found = sorted(x for x in draw.cells.days(str(draw.bound[slot].value)) if x is not None)
        if not found:
            return None
        iso = found[int(draw.rng.uniform(low, high) * len(found))].isoformat()
        return Bound(iso, iso, f'"{iso}"', sql=f"date '{iso}'")

    return fill


def year_of(slot: str, *, after: bool = False) -> Slot:
    """A year that occurs in the column in `slot`; `after`: one whose year before occurs too."""

    def fill(draw: Draw) -> Bound | None:
        years = {x.year for x in draw.cells.days(str(draw.bound[slot].value)) if x is not None}
        free = sorted(y for y in years if not after or y - 1 in years)
        if not free:
            return None
        year = str(draw.rng.choice(free))
        return Bound(int(year), year, year, sql=year)

    return fill


def month_name() -> Slot:
    def fill(draw: Draw) -> Bound:
        at = draw.rng.randrange(12)
        return Bound(at + 1, MONTHS[at], str(at + 1), sql=str(at + 1))

    return fill
