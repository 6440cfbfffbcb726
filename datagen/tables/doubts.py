"""What a person may doubt in a table as it was read: notes that change nothing."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from datagen.tables.column_types import plain_dates, shown

if TYPE_CHECKING:
    import pandas as pd

    from datagen.episode import Reading

CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])")
DATED = frozenset(
    "date dates day time timestamp ts datetime epoch created updated at on datum tag zeit fecha data"
    " heure jour".split()
)
EXCEL = frozenset("date day datum fecha data tag jour".split())
MIN_ROWS = 3
FEW = 1000  # values of a column that are compared with each other
TOTALS = frozenset(
    "total totals sum subtotal average gesamt summe insgesamt totale suma somme".split()
)
# Days that programs write where the day is missing.
STAND_IN_DAYS = ("9999-12-31", "2999-12-31", "1900-01-01", "1899-12-30", "1970-01-01", "0001-01-01")
MISREAD = re.compile("[\u00c2\u00c3\u00e2][^\x00-\x7f]")
WITH_UNIT = re.compile(r"[+-]?\d[\d.,]*\s?(?P<unit>[^\W\d_]{1,3}[²³]?)")


def doubts(frame: pd.DataFrame, reading: Reading) -> list[str]:
    """The notes on the values of a table as it was read."""
    import pandas as pd

    notes = _repeated_header(frame) + _total_row(frame)
    for name in map(str, frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pd.StringDtype):
            notes += [f"{name}: {note}" for note in _text_notes(column)]
        elif column.dtype.kind in "iuf" and (what := moments(name, column)):
            notes.append(f"{name}: read as numbers, but its values look like {what}")
        elif column.dtype.kind == "M":
            notes += [
                f"{name}: {note}" for note in _stand_in_days(column, reading.formats.get(name))
            ]
    return notes


def _text_notes(column: pd.Series[Any]) -> list[str]:
    values = column.dropna().unique()
    if not len(values):
        return []
    if plain_dates([values[0]]):
        return _stand_in_days(column)
    texts = [str(value) for value in values[:FEW]]
    units = {found["unit"] if (found := WITH_UNIT.fullmatch(text)) else "" for text in texts}
    if len(units) == 1 and (unit := units.pop()) and len(texts) > 1:
        return [f"left as text: numbers with {unit!r} after them, such as {shown(texts[0])}"]
    if all(len(text) > 1 and text[0] == text[-1] == "'" for text in texts):
        return ["its values stand in single quotes, which are part of them"]
    notes = _misread(texts)
    return notes if len(values) > FEW else notes + _look_alikes(texts)


def _misread(texts: list[str]) -> list[str]:
    """A note where UTF-8 was once read as a Latin code page: JosÃ© for José."""
    for text in texts:
        if MISREAD.search(text):
            try:
                meant = text.encode("cp1252").decode()
            except UnicodeError:
                continue
            return [
                f"{shown(text)} seems to have been {shown(meant)} before an encoding was mistaken"
            ]
    return []


def _look_alikes(texts: list[str]) -> list[str]:
    """Two values that differ only in case, in blanks or in compatible characters."""
    seen: dict[str, str] = {}
    for text in texts:
        plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        other = seen.setdefault(plain, text)
        if other != text:
            return [f"{shown(other)} and {shown(text)} are two values, although they look alike"]
    return []


def _stand_in_days(column: pd.Series[Any], form: str | None = None) -> list[str]:
    """A lone first or last day that occurs twice or more and is one that programs write for a missing day."""
    for end in (column.min(), column.max()):
        day = str(end)[:10].replace("/", "-")
        if day in STAND_IN_DAYS and 1 < (times := int((column == end).sum())) < column.count():
            text = end.strftime(form) if form else str(end)
            return [f"{day} is a value {times} times, not missing (--missing '{text}')"]
    return []


def _repeated_header(frame: pd.DataFrame) -> list[str]:
    """A note on rows that repeat the header, which make text of every column."""
    import pandas as pd

    columns = [(str(name), frame[name]) for name in frame.columns]
    if not all(isinstance(column.dtype, pd.StringDtype) for _, column in columns):
        return []
    same = pd.Series(True, index=frame.index)
    for name, column in columns:
        same &= column.eq(name).fillna(False).astype(bool)
    return [f"the header is repeated in {int(same.sum())} rows"] if same.any() else []


def _total_row(frame: pd.DataFrame) -> list[str]:
    """A note where the last row seems to add up the others."""
    last = [str(value) for value in frame.iloc[-1].tolist()]
    words = [text for text in last if text.casefold().strip(" :") in TOTALS]
    if not words or len(frame) < 3 or len(frame.columns) < 2:
        return []
    return [f"the last row ({', '.join(map(shown, words))}) seems to add up the other rows"]


def moments(name: str, column: pd.Series[Any]) -> str:
    """What the whole numbers of a column stand for: empty if for nothing but themselves."""
    values = column.dropna()
    if len(values) < MIN_ROWS:
        return ""
    low, high = values.min(), values.max()
    words = {*re.findall(r"[^\W\d_]+", CAMEL.sub(" ", name).casefold())}
    found = ""
    if low >= 19_000_000 and high < 21_010_000:
        found = f"days such as 20240131 (--date-format '{name}=%Y%m%d')" * _are_days(values)
    elif low >= 600_000_000 and high < 4_000_000_000 and words & DATED:
        found = "Unix time in seconds"
    elif low >= 600_000_000_000 and high < 4_000_000_000_000 and words & DATED:
        found = "Unix time in milliseconds"
    elif low >= 20_000 and high < 80_000 and words & EXCEL:
        found = "Excel's day numbers"
    return found if found and bool((values % 1 == 0).all()) else ""


def _are_days(values: pd.Series[Any]) -> bool:
    import pandas as pd

    texts = pd.Series(values.unique()).map("{:.0f}".format)
    return bool(pd.to_datetime(texts, format="%Y%m%d", errors="coerce").notna().all())
