"""Complete a Reading from the values of all columns: kinds, formats, stand-ins, decimal marks, units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.tables.column_types import (
    FoundKind,
    distinct,
    find_kind,
    missing_option,
    plain_dates,
)
from datagen.tables.date_formats import offsets, to_dates
from datagen.tables.missing_values import (
    STAND_INS,
    SUSPECTS,
    number_stand_ins,
    suspected_stand_in,
)
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

    from datagen.tables.infer import ReadingOptions

SUMMER_TIME = 60  # minutes


@dataclass
class _Columns:
    """What is known of the columns so far."""

    reading: Reading
    kinds: dict[str, str]
    formats: dict[str, str]
    sentinels: dict[str, list[str]] = field(default_factory=dict)
    decimals: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    groups: str = ""
    dates: dict[str, FoundKind] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, name: str, *notes: str) -> None:
        self.notes += [f"{name}: {note.replace('COL=', f'{name}=')}" for note in notes]


def find_columns(
    raw: pd.DataFrame, reading: Reading, *, unsure: set[str], proven: bool, given: ReadingOptions
) -> tuple[Reading, list[str]]:
    """The Reading completed from the values, and notes.

    `unsure`: columns that are text only so far. `proven`: the decimal mark needs no note. Raises BadData for a date column whose format the user must state.
    """
    found = _Columns(reading, dict(reading.kinds), dict(reading.formats))
    marks = given.decimal or reading.decimal + ("," if reading.decimal == "." else ".")
    for name in map(str, raw.columns):
        if found.kinds.get(name) in {"text", "boolean"} or name in found.formats:
            continue
        column = raw[name]
        if column.dtype.kind in "iuf" and name not in found.kinds:
            _stand_ins(found, name, column)
        elif column.dtype.kind != "b" or name in found.kinds:
            kind = find_kind(column, marks=marks, thousands=given.thousands, proven=proven)
            stated = name in given.kinds
            found.note(name, *(n for n in kind.notes if not stated or "--kind" not in n))
            _text_column(found, name, column, kind, unsure=name in unsure)
    _choose_formats(found, raw)
    for name, known in found.kinds.items():
        if known != "date" or name in found.formats or name not in given.kinds:
            continue
        if not plain_dates(_distinct(raw[name], found.sentinels.get(name, ()))):
            raise BadData(
                f"column {name!r}: its date format is ambiguous",
                f"give the format, for example --date-format '{name}=%d/%m/%Y'",
            )
    changes = {
        "kinds": found.kinds,
        "formats": found.formats,
        "sentinels": found.sentinels,
        "decimals": found.decimals,
        "units": found.units,
        "thousands": given.thousands or "".join(sorted({*found.groups})) or None,
    }
    return reading.model_copy(update=changes), found.notes


def _stand_ins(
    found: _Columns, name: str, column: pd.Series[Any], texts: dict[str, float] | None = None
) -> None:
    """Numbers that stand for missing; with `texts`, how each number of the column is written."""
    kept = {*found.reading.kept}
    taken: list[float] = []
    for number in number_stand_ins(column):
        written = [text for text, value in (texts or {}).items() if value == number]
        written = written or [str(number)]
        if not kept & {str(number), *written}:
            found.sentinels[name] = [*found.sentinels.get(name, ()), *written]
            taken.append(number)
    rest = column[~column.isin(taken)]
    doubt = suspected_stand_in(rest)
    if doubt is not None and str(doubt) not in kept:
        found.note(name, f"{doubt} is a value, not missing (--missing {doubt})")


def _text_column(
    found: _Columns, name: str, column: pd.Series[Any], kind: FoundKind, *, unsure: bool
) -> None:
    reading = found.reading
    for text in kind.doubted:
        if text not in reading.kept:
            found.note(name, f"{text!r} is a value, not missing ({missing_option(text)})")
    typed = kind.kind in {"number", "date", "boolean"}
    missing = [text for text in kind.missing if typed or text not in reading.kept]
    for text in missing:
        if text in reading.kept:
            found.note(name, f"{text!r} is missing: all other values are of kind {kind.kind}")
    if missing:
        found.sentinels[name] = missing
    if kind.kind == "number":
        found.kinds.setdefault(name, "number")
        found.groups += kind.groups
        if kind.unit:
            found.units[name] = kind.unit
        if kind.style and kind.style.decimal != reading.decimal:
            found.decimals[name] = kind.style.decimal
        if {*STAND_INS, *SUSPECTS, -1} & {*kind.numbers.values()}:
            _stand_ins(found, name, column.map(kind.numbers).astype(float), {**kind.numbers})
    elif kind.kind == "date":
        found.dates[name] = kind
        if unsure:
            found.kinds.setdefault(name, "text")
    elif kind.kind == "boolean" or missing or unsure or column.dtype == object:
        found.kinds.setdefault(name, kind.kind)


def _choose_formats(found: _Columns, raw: pd.DataFrame) -> None:
    """A format for each date column that needs one; of two orders, the one another column proves."""
    proven = {f.formats[0][:2] for f in found.dates.values() if len(f.formats) == 1}
    for name, kind in found.dates.items():
        fitting = [f for f in kind.formats if len(kind.formats) == 1 or f[:2] in proven]
        texts = _distinct(raw[name], found.sentinels.get(name, ()))
        if len(fitting) != 1:
            found.note(
                name,
                f"left as text: its dates may be {' or '.join(kind.formats)} "
                f"(--date-format '{name}={kind.formats[0]}')",
            )
        elif not plain_dates(texts):
            if why := _why_no_moment(texts, fitting[0]):
                found.note(name, f"left as text: {why} (--date-format '{name}={fitting[0]}')")
                continue
            found.formats[name] = fitting[0]
            found.kinds[name] = "date"
            if len(kind.formats) > 1:
                found.note(name, f"read as {fitting[0]}, like the table's other dates")
            if fitting[0].endswith("%z") and len(known := offsets(texts)) > 1:
                found.note(
                    name,
                    f"the offsets {', '.join(sorted(known))} are left out: times are those of the"
                    " clock where they were written",
                )


def _why_no_moment(texts: Sequence[str], form: str) -> str:
    """Why dates that the format reads are not the days that a person may mean."""
    if "%y" in form:
        years = to_dates(texts, form).dt.year
        late = years > datetime.now(UTC).year
        if late.any():
            at = int(late.argmax())
            return f"the year of {texts[at]!r} may be {years[at]} or {years[at] - 100}"
    if form.endswith("%z"):
        known = offsets(texts)
        if max(known.values()) - min(known.values()) > SUMMER_TIME:
            return f"its times are of several zones ({', '.join(sorted(known)[:4])})"
    return ""


def _distinct(column: pd.Series[Any], without: Sequence[str]) -> list[str]:
    return [text for text in distinct(column) if text not in without]
