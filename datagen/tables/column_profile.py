"""What a column of a table holds: its kind, what it is good for, range and examples."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from datagen.tables.column_types import EXACT, plain_dates
from datagen.tables.date_formats import reads
from datagen.tables.doubts import CAMEL, moments

if TYPE_CHECKING:
    import pandas as pd

    from datagen.episode import Reading

CATEGORY_LIMIT = 50
EXAMPLES = 5
COUNTED = 1000
NUMBERED = 20  # so many rows that count on from any number are numbered, not measured
Meaning = Literal[
    "identifier", "category", "amount", "calendar", "date", "text", "constant", "empty"
]
_NAMES = (
    r"ids?|uuid|guid|key|code|zip|zipcode|zip_code|plz|postcode|postal|sku|isbn|ean|phone|tel|ssn"
)
IDENTIFIER_NAME = re.compile(rf"(?:^|[\W_])(?:{_NAMES})$")
CAMEL_ID = re.compile(r"[a-z](?:Id|ID)$")
YEARS = re.compile(r"year|yr|jahr|ann[eé]e|año|anno|ano|founded|built|born|since")
COUNTERS = {"num", "number", "no", "nr"}
# Parts of a date and of a day in the singular: "hours" and "days" are durations.
CALENDAR: tuple[tuple[frozenset[str], int, int], ...] = (
    (frozenset("month mon monat mois mes mese".split()), 1, 12),
    (frozenset("day dom mday tag jour dia día giorno".split()), 1, 31),
    (frozenset("weekday dow wday wochentag".split()), 0, 7),
    (frozenset("week kw woche semaine semana".split()), 0, 53),
    (frozenset("quarter qtr quartal trimestre".split()), 1, 4),
    (frozenset("doy yday dayofyear".split()), 1, 366),
    (frozenset("hour hr stunde heure hora".split()), 0, 24),
)


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """A column: `kind` is integer, number, boolean, date or text; `meaning` what it is good for.

    Calendar are whole numbers that stand for a year, a month, a day or an hour: sums of them mean nothing.
    `low`/`high` are only for numbers, `first`/`last` (ISO) only for dates, as is `format`, the strptime
    format of the text in the file. `unit` is the currency or % that stood beside the numbers.
    `examples` are values as text: the most frequent ones, or the first where there are over 1000.
    """

    name: str
    kind: str
    meaning: Meaning = "text"
    missing: int
    distinct: int
    low: float | None = None
    high: float | None = None
    first: str | None = None
    last: str | None = None
    format: str | None = None
    unit: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        return self.kind in {"integer", "number"}


def profile_column(name: str, column: pd.Series[Any], reading: Reading) -> ColumnProfile:
    """Profile a column of the frame that `reading` made."""
    values = column.dropna()
    distinct = int(values.nunique())
    kind, form = _kind(name, values, column, reading)
    numeric = kind in {"integer", "number"}
    dated = kind == "date" and len(values) > 0
    return ColumnProfile(
        name=name,
        kind=kind,
        meaning=_meaning(name, values, kind, distinct, rows=len(column)),
        missing=len(column) - len(values),
        distinct=distinct,
        low=_finite(values.min()) if numeric and len(values) else None,
        high=_finite(values.max()) if numeric and len(values) else None,
        first=_iso(values.min()) if dated else None,
        last=_iso(values.max()) if dated else None,
        format=form,
        unit=reading.units.get(name),
        examples=_examples(values, distinct),
    )


def _kind(
    name: str, values: pd.Series[Any], column: pd.Series[Any], reading: Reading
) -> tuple[str, str | None]:
    """The kind by meaning, and the format of dates.

    Whole numbers with gaps are integers although pandas holds floats.
    """
    import pandas as pd

    if pd.api.types.is_bool_dtype(column):
        return "boolean", None
    if pd.api.types.is_datetime64_any_dtype(column):
        return "date", reading.formats.get(name)
    if pd.api.types.is_numeric_dtype(column):
        whole = len(values) > 0 and bool((values % 1 == 0).all())
        return ("integer" if whole else "number"), None
    if reading.kinds.get(name) != "text" and len(values) and plain_dates(values.iloc[:1].tolist()):
        texts = values.unique().tolist()
        form = f"%Y{texts[0][4]}%m{texts[0][4]}%d"
        if plain_dates(texts) and reads(texts, form):
            return "date", form
    return "text", None


def _meaning(name: str, values: pd.Series[Any], kind: str, distinct: int, *, rows: int) -> Meaning:
    if not distinct:
        return "empty"
    if distinct == 1 and rows > 1:
        return "constant"
    if kind == "date":
        return "date"
    if kind == "boolean":
        return "category"
    named = bool(IDENTIFIER_NAME.search(name.casefold()) or CAMEL_ID.search(name))
    unique = distinct == rows > 2
    if kind == "text":
        if 2 <= distinct <= CATEGORY_LIMIT and 2 * distinct <= rows:
            return "category"
        head = values.head(COUNTED)
        digits = bool(head.str.fullmatch(r"\+?\d+").all())
        single = unique and not head.str.contains(r"\s").any()
        return "identifier" if digits or single or (named and unique) else "text"
    if kind == "number":
        return "amount"
    low, high = values.min(), values.max()
    counted = unique and high - low + 1 == rows
    if named or (counted and low in {0, 1}) or max(abs(low), abs(high)) > EXACT:
        return "identifier"
    if moments(name, values) or is_calendar(name, low, high):
        return "calendar"
    ordered = values.is_monotonic_increasing or values.is_monotonic_decreasing
    return "identifier" if counted and ordered and rows >= NUMBERED else "amount"


def is_calendar(name: str, low: float, high: float) -> bool:
    """Whether whole numbers of this name and range are years, months, days or hours of a calendar.

    A year is recognised by any word of the name, the others by its last word.
    """
    words = re.findall(r"[^\W\d_]+", CAMEL.sub(" ", name).casefold())
    if words and words[-1] in COUNTERS:
        words.pop()
    if any(map(YEARS.fullmatch, words)):
        return low >= 1000 and high < 3000
    return any(
        words[-1:] and words[-1] in named and least <= low and high <= most
        for named, least, most in CALENDAR
    )


def _examples(values: pd.Series[Any], distinct: int) -> tuple[str, ...]:
    if distinct > COUNTED:
        return tuple(str(value) for value in values.head(COUNTED).unique()[:EXAMPLES])
    counts = values.value_counts()
    ranked = sorted(((-int(n), str(value)) for value, n in counts.items()))
    return tuple(text for _, text in ranked[:EXAMPLES])


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _iso(value: Any) -> str:
    return value.replace("/", "-") if isinstance(value, str) else str(value.isoformat())
