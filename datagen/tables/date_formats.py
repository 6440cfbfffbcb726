"""Find the one strptime format of a column of dates, or both formats if day and month are ambiguous."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_NAME = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# pattern of the day -> its formats; two where day and month may change places
_DAYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", ("%d.%m.%y",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%d/%m/%y", "%m/%d/%y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
    (rf"\d{{1,2}} {_MONTH} \d{{4}}", ("%d %b %Y",)),
    (rf"\d{{1,2}}-{_MONTH}-\d{{4}}", ("%d-%b-%Y",)),
    (rf"\d{{1,2}}-{_MONTH}-\d{{2}}", ("%d-%b-%y",)),
    (rf"{_MONTH} \d{{1,2}}, \d{{4}}", ("%b %d, %Y",)),
    (rf"\d{{1,2}} {_NAME} \d{{4}}", ("%d %B %Y",)),
    (rf"{_NAME} \d{{1,2}}, \d{{4}}", ("%B %d, %Y",)),
)
_TIMES: tuple[tuple[str, str], ...] = (
    ("", ""),
    (r"T\d{2}:\d{2}:\d{2}", "T%H:%M:%S"),
    (r" \d{1,2}:\d{2}:\d{2}", " %H:%M:%S"),
    (r"T\d{2}:\d{2}:\d{2}\.\d{1,6}", "T%H:%M:%S.%f"),
    (r" \d{1,2}:\d{2}:\d{2}\.\d{1,6}", " %H:%M:%S.%f"),
    (r"T\d{2}:\d{2}", "T%H:%M"),
    (r" \d{1,2}:\d{2}", " %H:%M"),
    (r" \d{1,2}:\d{2} [AaPp][Mm]", " %I:%M %p"),
    (r" \d{1,2}:\d{2}:\d{2} [AaPp][Mm]", " %I:%M:%S %p"),
)
_ZONES: tuple[tuple[str, str], ...] = (("", ""), (r"(?:Z|[+-]\d{2}(?::?\d{2})?)", "%z"))
OFFSET = re.compile(r"(?:Z|(?P<sign>[+-])(?P<hours>\d{2})(?::?(?P<minutes>\d{2}))?)$")
# These sort and compare as they stand, and to_datetime reads them without a format.
PLAIN = re.compile(r"\d{4}([-/])\d{2}\1\d{2}")
_SHAPES = [
    (re.compile(day + time + zone), tuple(f + clock + offset for f in formats))
    for day, formats in _DAYS
    for time, clock in _TIMES
    for zone, offset in _ZONES
    if clock or not zone
]
_ANY = re.compile(
    "(?:{})(?:(?:{})(?:{})?)?".format(
        "|".join(day for day, _ in _DAYS),
        "|".join(time for time, _ in _TIMES if time),
        "|".join(zone for zone, _ in _ZONES if zone),
    )
)


def find_formats(texts: Sequence[str]) -> tuple[str, ...]:
    """The format that reads all the texts (distinct, none missing); two if day and month can be
    exchanged, none if they are not dates.
    """
    first = next(iter(texts), "")
    for shape, formats in _SHAPES:
        if shape.fullmatch(first):
            fitting = [f for f in formats if all(map(shape.fullmatch, texts)) and reads(texts, f)]
            if fitting:
                return tuple(fitting)
    return ()


def looks_like_date(text: str) -> bool:
    return _ANY.fullmatch(text) is not None


def reads(texts: Sequence[str], form: str) -> bool:
    """Whether the format reads each of the texts."""
    try:
        return bool(to_dates(texts, form).notna().all())
    except (ValueError, OverflowError):
        return False


def to_dates(texts: Sequence[str], form: str) -> pd.Series[Any]:
    """The texts as dates: with an offset, the time on the clock where it was written.

    Raises ValueError and OverflowError for a text that is not a date in this format.
    """
    import pandas as pd

    if form.endswith("%z") and all(map(OFFSET.search, texts)):  # pandas reads only one offset
        texts, form = [OFFSET.sub("", text) for text in texts], form.removesuffix("%z")
    dates = pd.to_datetime(pd.Series([*texts], dtype=str), format=form)
    return dates if dates.dt.tz is None else dates.dt.tz_localize(None)


def offsets(texts: Sequence[str]) -> dict[str, int]:
    """The offsets from UTC at the end of the texts, each as it is written with its minutes."""
    found: dict[str, int] = {}
    for text in texts:
        if (offset := OFFSET.search(text)) and offset[0] not in found:
            minutes = 60 * int(offset["hours"] or 0) + int(offset["minutes"] or 0)
            found[offset[0]] = -minutes if offset["sign"] == "-" else minutes
    return found
