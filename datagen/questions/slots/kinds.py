"""The slots of a record by their names: `amount`, `category low=3`, `value_of c rows=5`, a list, a table of words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from datagen.questions.slots import columns, rows, tables, time, values
from datagen.questions.slots.bound import Bound

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw, Slot

AVERAGES = {"mean": ["mean", "avg"], "median": ["median", "median"]}
VOCABULARIES: Mapping[str, Mapping[str, list[str]]] = {
    "averages": AVERAGES,
    "levels": {**AVERAGES, "total": ["sum", "sum"]},
    "extremes": {"highest": ["max", "max"], "lowest": ["min", "min"]},
    "ends": {"highest": ["nlargest", "desc"], "lowest": ["nsmallest", "asc"]},
}
KINDS: Mapping[str, Callable[..., Slot]] = {
    "amount": columns.amount,
    "amounts": columns.amounts,
    "category": columns.category,
    "label": columns.label,
    "gappy": columns.gappy,
    "some": columns.some,
    "text": columns.text,
    "value_of": values.value_of,
    "threshold": values.threshold,
    "suspect": values.suspect,
    "part_of": values.part_of,
    "dates": time.dates,
    "day_of": time.day_of,
    "year_of": time.year_of,
    "month_name": time.month_name,
    "own_table": tables.own,
    "other_table": tables.other,
    "reference": tables.reference,
    "referred": tables.referred,
    "group": rows.group,
    "comparable": rows.comparable,
    "repeated": rows.repeated,
    "values_of": rows.values_of,
    "piece_of": rows.piece_of,
    "size_of": rows.size_of,
    "few_rows": rows.few_rows,
    "fewer_groups": rows.fewer_groups,
}


class SlotOf:
    """One slot of a family: `kind` and `options` as the record has them; called, it fills the slot.

    Raises:
        ValueError: there is no such kind, or it has no such option.
    """

    def __init__(self, given: object) -> None:
        self.options: Mapping[str, Any] = {}
        self.words: Mapping[str, list[str]] = {}
        if isinstance(given, list) and given:
            self.kind, self._fill = "pick", values.pick(*given)
        elif isinstance(given, dict) and given:
            self.kind, self.words = "words", _vocabulary(given)
            self._fill = values.words(self.words)
        elif isinstance(given, str) and given in VOCABULARIES:
            self.kind, self.words = "words", VOCABULARIES[given]
            self._fill = values.words(self.words)
        elif isinstance(given, str) and given.split():
            self.kind, *words = given.split()
            make = KINDS.get(self.kind)
            if make is None:
                known = ", ".join([*KINDS, *VOCABULARIES])
                raise ValueError(
                    f"{given!r} is unknown; use one of {known}, a list or a table of words"
                )
            self.options = dict(_option(word, make) for word in words)
            try:
                self._fill = make(**self.options)
            except TypeError as fault:
                raise ValueError(f"{given!r}: {str(fault).partition('() ')[2]}") from None
        else:
            raise ValueError(f"{given!r} is no slot: write its kind, a list or a table of words")

    @property
    def refers(self) -> list[str]:
        """The slots that must be filled before this one."""
        return [self.options[name] for name in ("slot", "other_than") if name in self.options]

    def __call__(self, draw: Draw) -> Bound | None:
        return self._fill(draw)


def _vocabulary(given: Mapping[str, Any]) -> Mapping[str, list[str]]:
    found = {}
    for word, meant in given.items():
        pair = [meant, meant] if isinstance(meant, str) else meant
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f'{word}: write its code, or ["code", "sql"]')
        found[word] = pair
    return found


def _option(word: str, make: Callable[..., Slot]) -> tuple[str, Any]:
    """`low=3` as it stands; a bare word names the slot that the kind refers to, or switches an option on."""
    name, equals, value = word.partition("=")
    if equals:
        return name, float(value) if value.replace(".", "", 1).lstrip(
            "-"
        ).isdigit() and "." in value else (int(value) if value.lstrip("-").isdigit() else value)
    parameters = inspect.signature(make).parameters
    if "slot" in parameters and name not in parameters:
        return "slot", name
    return name, True
