"""Find the kind of a text column from its distinct values, and convert the column to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.judge.answer_types import BOOLEANS
from datagen.tables.date_formats import PLAIN, find_formats, looks_like_date, reads
from datagen.tables.missing_values import missing_among_words, stands_for_missing
from datagen.tables.number_formats import Parsed, Style, other_mark, parse_numbers, style_of
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

_PAIRS = [{"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}]
PROBED = 200
MIN_DISTINCT = 4


@dataclass(frozen=True, kw_only=True)
class FoundKind:
    """What a text column is. `formats` has two entries if day and month are ambiguous."""

    kind: str = "text"
    missing: tuple[str, ...] = ()
    style: Style | None = None
    groups: str = ""
    unit: str | None = None
    formats: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_kind(column: pd.Series[Any], *, marks: str, thousands: str | None) -> FoundKind:
    """What a text column is.

    `marks` are the decimal marks to try, the table's first; `thousands` None tries all group marks.
    """
    values = column.dropna()
    lone: list[str] = []
    if _may_be_typed(distinct(values.head(PROBED)), marks, thousands):
        texts = distinct(values)
        for attempt in (_booleans, _dates):
            if found := attempt(texts):
                return found
        if found := _numbers(texts, marks=marks, thousands=thousands):
            return found
        lone = _only_exception(texts, marks=marks, thousands=thousands)
    if not len(values):
        return FoundKind()
    signs, words = missing_among_words(values.astype("str"))
    notes = [f"{text!r} is a value, not missing (--missing {text!r})" for text in words]
    notes += [f"numbers, except for {text!r} (--missing {text!r})" for text in lone]
    return FoundKind(missing=tuple(signs), notes=tuple(notes))


def distinct(column: pd.Series[Any]) -> list[str]:
    """The distinct values as text, none missing."""
    return [str(text) for text in column.dropna().unique().tolist()]


def _may_be_typed(texts: Sequence[str], marks: str, thousands: str | None) -> bool:
    """Whether at least half of the first values are numbers, dates, booleans or stand for missing."""
    typed = sum(
        stands_for_missing(text)
        or text.strip().casefold() in BOOLEANS
        or looks_like_date(text)
        or any(
            parse_numbers([text], style_of(mark, thousands)).numbers[0] is not None
            for mark in marks
        )
        for text in texts[:PROBED]
    )
    return 2 * typed >= len(texts[:PROBED]) > 0


def _booleans(texts: Sequence[str]) -> FoundKind | None:
    if len(texts) > PROBED:
        return None
    plain = {text.strip().casefold() for text in texts}
    values = {text for text in plain if not stands_for_missing(text)}
    if values in _PAIRS or values in ({"true"}, {"false"}):
        return FoundKind(kind="boolean", missing=_missing_texts(texts, values))
    return None


def _dates(texts: Sequence[str]) -> FoundKind | None:
    if not any(map(looks_like_date, texts[:PROBED])):
        return None
    values = [text for text in texts if not stands_for_missing(text)]
    if not values or not looks_like_date(values[0]):
        return None
    missing = _missing_texts(texts, {text.strip().casefold() for text in values})
    formats = find_formats(values)
    if not formats:
        return FoundKind(
            missing=missing, notes=("dates in more than one format, or not only dates",)
        )
    return FoundKind(kind="date", formats=formats, missing=missing)


def _missing_texts(texts: Sequence[str], values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(text for text in texts if text.strip().casefold() not in values))


def _numbers(texts: Sequence[str], *, marks: str, thousands: str | None) -> FoundKind | None:
    """Numbers, with the first decimal mark that reads them all."""
    probe = texts[:PROBED]
    for mark in marks:
        style = style_of(mark, thousands)
        if sum(v is not None for v in parse_numbers(probe, style).numbers) * 2 < len(probe):
            continue
        parsed = parse_numbers(texts, style)
        missing = [t for t, v in zip(texts, parsed.numbers, strict=True) if v is None]
        if not all(map(stands_for_missing, missing)) or len(missing) == len(texts):
            continue
        if why := _why_mixed(parsed):
            return FoundKind(notes=(why,))
        return FoundKind(
            kind="number",
            missing=tuple(sorted(missing)),
            style=style,
            groups=parsed.groups,
            unit=parsed.unit,
            notes=_ambiguity_notes(texts, parsed, mark)
            if len(marks) > 1 and thousands is None
            else (),
        )
    return None


def _only_exception(texts: Sequence[str], *, marks: str, thousands: str | None) -> list[str]:
    """Return the text that alone keeps a column from being numbers, if there is exactly one."""
    for mark in marks:
        numbers = parse_numbers(texts, style_of(mark, thousands)).numbers
        odd = [text for text, number in zip(texts, numbers, strict=True) if number is None]
        odd = [text for text in odd if not stands_for_missing(text)]
        if len(odd) == 1 and len(texts) >= MIN_DISTINCT:
            return odd
    return []


def _why_mixed(parsed: Parsed) -> str:
    if len(parsed.units) > 1:
        return f"left as text: amounts in several units ({', '.join(sorted(parsed.units))})"
    if parsed.bare and parsed.units == {"%"}:
        return "left as text: some values with % and some without"
    return ""


def _ambiguity_notes(texts: Sequence[str], parsed: Parsed, mark: str) -> tuple[str, ...]:
    """Whether the other decimal mark would give other numbers, as in 1,234 and nothing else."""
    if not set(parsed.groups) & set(".,"):
        return ()
    swapped = parse_numbers(texts, style_of(other_mark(mark), None)).numbers
    doubtful = [
        (text, ours, theirs)
        for text, ours, theirs in zip(texts, parsed.numbers, swapped, strict=True)
        if ours is not None and ours != theirs
    ]
    if not doubtful or any(theirs is None for _, _, theirs in doubtful):
        return ()
    text, ours, theirs = doubtful[0]
    return (f"{text!r} is read as {ours}; with --decimal '{other_mark(mark)}' it is {theirs}",)


def convert(name: str, column: pd.Series[Any], kind: str, reading: Reading) -> pd.Series[Any]:
    """A text column converted to its kind: whole numbers without gaps int64, other numbers float64,
    dates datetime64 where the reading has a format for them, booleans bool or, with gaps, boolean.

    Raises BadData naming the first value that is not of the kind.
    """
    import pandas as pd

    form = reading.formats.get(name)
    if kind == "text" or (kind == "date" and not form):
        return column if isinstance(column.dtype, pd.StringDtype) else column.astype("str")
    codes, uniques = pd.factorize(column)
    texts = [str(text) for text in uniques]
    if kind == "boolean":
        distinct = _to_booleans(name, texts)
    elif kind == "date":
        distinct = _to_dates(name, texts, str(form))
    else:
        distinct = _to_numbers(name, texts, kind, reading, gaps=bool((codes < 0).any()))
    spread = pd.Series(distinct.take(codes), index=column.index, name=column.name)
    if kind == "boolean" and not spread.isna().any():
        return spread.astype("bool")
    return spread


def _to_booleans(name: str, texts: list[str]) -> Any:
    """The values of the texts and, as in the following two, the missing value last."""
    import pandas as pd

    values = [BOOLEANS.get(text.strip().casefold()) for text in texts]
    _refuse(name, "boolean", texts, values, "give the text that means missing with --missing")
    return pd.array([*values, None], dtype="boolean")


def _to_numbers(name: str, texts: list[str], kind: str, reading: Reading, *, gaps: bool) -> Any:
    import numpy as np

    style = style_of(reading.decimals.get(name, reading.decimal), reading.thousands or "")
    values = parse_numbers(texts, style).numbers
    _refuse(name, kind, texts, values, "choose --decimal, --thousands or --missing")
    numbers = [value for value in values if value is not None]
    if kind == "integer":
        whole = [number if float(number).is_integer() else None for number in numbers]
        _refuse(name, kind, texts, whole, f"use --kind '{name}=number'")
    if not gaps and all(isinstance(n, int) and abs(n) < 2**63 for n in numbers):
        return np.array(numbers, dtype=np.int64)
    return np.array([*map(float, numbers), np.nan], dtype=np.float64)


def _to_dates(name: str, texts: list[str], form: str) -> Any:
    import pandas as pd

    if not reads(texts, form):
        bad = next((text for text in texts if not reads([text], form)), texts[0])
        raise BadData(
            f"column {name!r}: {bad!r} is not a date in the format {form}",
            f"choose --date-format or --missing, or keep it as text with --kind '{name}=text'",
        )
    dates = pd.to_datetime(pd.Series([*texts, None], dtype=str), format=form)
    if dates.dt.tz is not None:  # the time on the clock where it was written
        dates = dates.dt.tz_localize(None)
    return dates.array


def _refuse(name: str, kind: str, texts: list[str], values: Sequence[object], hint: str) -> None:
    for text, value in zip(texts, values, strict=True):
        if value is None:
            raise BadData(
                f"column {name!r}: {text!r} is not {'an' if kind == 'integer' else 'a'} {kind}",
                f"{hint}, or keep it as text with --kind '{name}=text'",
            )


def plain_dates(texts: Sequence[str]) -> bool:
    """Whether all are written year first, in full and without a time: such a column stays text."""
    return all(map(PLAIN.fullmatch, texts))
