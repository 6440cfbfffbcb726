"""Find the one strptime format of a column of dates, or both formats if day and month are ambiguous."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
_ZONES: tuple[tuple[str, str], ...] = (("", ""), (r"(?:Z|[+-]\d{2}:?\d{2})", "%z"))
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
    """Whether the format reads each of the texts, all in the same time zone."""
    import pandas as pd

    try:
        return bool(pd.to_datetime(pd.Series([*texts], dtype=str), format=form).notna().all())
    except (ValueError, OverflowError):
        return False
