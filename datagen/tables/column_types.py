"""Find the kind of a text column from its distinct values, and convert the column to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.judge.answer_types import BOOLEANS
from datagen.tables.date_formats import PLAIN, find_formats, looks_like_date, reads, to_dates
from datagen.tables.missing_values import missing_among_words, stands_for_missing
from datagen.tables.number_formats import (
    Parsed,
    Style,
    is_infinite,
    other_mark,
    parse_numbers,
    style_of,
)
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

_PAIRS = [{"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}]
PROBED = 200
MIN_DISTINCT = 4
SHOWN = 40
SHOWN_OPTIONS = 5
EXACT = 2**53  # whole numbers beyond it are not what a float makes of them
BARE_EXPONENT = re.compile(r"\d+[eE]\d{1,3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class FoundKind:
    """What a text column is. `formats` has two entries if day and month are ambiguous.

    `doubted` are words that may mean missing. `numbers` maps the texts of a column of numbers to them.
    COL in a note stands for the column.
    """

    kind: str = "text"
    missing: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    style: Style | None = None
    groups: str = ""
    unit: str | None = None
    formats: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


def find_kind(
    column: pd.Series[Any], *, marks: str, thousands: str | None, proven: bool
) -> FoundKind:
    """What a text column is.

    `marks` are the decimal marks to try, the table's first; `thousands` None tries all group marks.
    `proven`: the table's decimal mark is certain, so that 1,234 needs no note.
    """
    values = column.dropna()
    notes: list[str] = []
    if _may_be_typed(distinct(values.head(PROBED)), marks, thousands):
        texts = distinct(values)
        for attempt in (_booleans, _dates):
            if found := attempt(texts):
                return found
        if found := _numbers(texts, marks=marks, thousands=thousands, proven=proven):
            return found
        notes = _exceptions(texts, marks=marks, thousands=thousands)
    if not len(values):
        return FoundKind()
    signs, words = missing_among_words(values.astype("str"))
    return FoundKind(missing=tuple(signs), doubted=tuple(words), notes=tuple(notes))


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


def _numbers(
    texts: Sequence[str], *, marks: str, thousands: str | None, proven: bool
) -> FoundKind | None:
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
        values = {t: v for t, v in zip(texts, parsed.numbers, strict=True) if v is not None}
        if why := _why_mixed(parsed) or _why_code(values):
            return FoundKind(notes=(why,), missing=tuple(sorted(missing)))
        notes = _exponent_notes(values)
        if not (proven and mark == marks[0]) and len(marks) > 1 and thousands is None:
            notes += _ambiguity_notes(texts, parsed, mark)
        return FoundKind(
            kind="number",
            missing=tuple(sorted(missing)),
            style=style,
            groups=parsed.groups,
            unit=parsed.unit,
            notes=notes,
            numbers=values,
        )
    return None


def _exceptions(texts: Sequence[str], *, marks: str, thousands: str | None) -> list[str]:
    """A note on what keeps a column from being numbers: one text, or numbers that are not finite."""
    for mark in marks:
        numbers = parse_numbers(texts, style_of(mark, thousands)).numbers
        odd = [text for text, number in zip(texts, numbers, strict=True) if number is None]
        odd = [text for text in odd if not stands_for_missing(text)]
        if odd and all(map(is_infinite, odd)):
            options = " ".join(map(missing_option, odd[:SHOWN_OPTIONS]))
            return [f"left as text: {shown(odd[0])} is not a finite number ({options})"]
        if len(odd) == 1 and len(texts) >= MIN_DISTINCT:
            return [f"numbers, except for {shown(odd[0])} ({missing_option(odd[0])})"]
    return []


def shown(text: str) -> str:
    """The text as notes quote it."""
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def missing_option(text: str) -> str:
    """The option that makes the text mean missing; with = where it would be taken for an option."""
    return f"--missing{'=' if text.startswith('-') else ' '}{shown(text)}"


def _why_code(values: Mapping[str, float]) -> str:
    """Why numbers are left as text: reading them would change or lose what they say."""
    bare = [text for text in values if BARE_EXPONENT.fullmatch(text)]
    if bare and (len(bare) == len(values) or len({*map(len, values)}) == 1):
        return f"left as text: {bare[0]!r} may be a code (--kind 'COL=number')"
    long = (t for t, v in values.items() if isinstance(v, int) and abs(v) >= 2**63)
    if text := next(long, ""):
        return f"left as text: {shown(text)} has more digits than a whole number can keep"
    return ""


def _exponent_notes(values: Mapping[str, float]) -> tuple[str, ...]:
    for text in values:
        if BARE_EXPONENT.fullmatch(text):
            return (f"{text!r} is read as {values[text]:g} (--kind 'COL=text')",)
    return ()


def _why_mixed(parsed: Parsed) -> str:
    if len(parsed.units) > 1:
        return f"left as text: amounts in several units ({', '.join(sorted(parsed.units))})"
    if parsed.bare and parsed.units == {"%"}:
        return "left as text: some values with % and some without"
    return ""


def _ambiguity_notes(texts: Sequence[str], parsed: Parsed, mark: str) -> tuple[str, ...]:
    """Whether the other decimal mark would give other numbers, as in 1,234 and nothing else."""
    thousands = re.compile(rf"\{mark}\d{{3}}(?!\d)")
    if not {*parsed.groups} & {*".,"} and not all(
        thousands.search(text) for text in texts if mark in text
    ):
        return ()
    swapped = parse_numbers(texts, style_of(other_mark(mark), None))
    doubtful = [
        (text, ours, theirs)
        for text, ours, theirs in zip(texts, parsed.numbers, swapped.numbers, strict=True)
        if ours is not None and ours != theirs
    ]
    if not doubtful or any(theirs is None for _, _, theirs in doubtful):
        return ()
    text, ours, theirs = doubtful[0]
    return (f"{text!r} is read as {ours}; with --decimal '{other_mark(mark)}' it is {theirs}",)


def convert(name: str, column: pd.Series[Any], kind: str, reading: Reading) -> pd.Series[Any]:
    """A text column converted to its kind: whole numbers without gaps int64, with gaps Int64 if a float
    would lose digits, other numbers float64, dates datetime64 where the reading has a format for them, booleans bool or, with gaps, boolean.

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
    import pandas as pd

    style = style_of(reading.decimals.get(name, reading.decimal), reading.thousands or "")
    values = parse_numbers(texts, style).numbers
    _refuse(name, kind, texts, values, "choose --decimal, --thousands or --missing")
    numbers = [value for value in values if value is not None]
    if kind == "integer":
        exact = [number if float(number).is_integer() else None for number in numbers]
        _refuse(name, kind, texts, exact, f"use --kind '{name}=number'")
    whole = all(isinstance(n, int) and abs(n) < 2**63 for n in numbers)
    if whole and not gaps:
        return np.array(numbers, dtype=np.int64)
    if whole and any(abs(n) > EXACT for n in numbers):
        return pd.array([*numbers, None], dtype="Int64")
    return np.array([*map(float, numbers), np.nan], dtype=np.float64)


def _to_dates(name: str, texts: list[str], form: str) -> Any:
    import pandas as pd

    if not reads(texts, form):
        bad = next((text for text in texts if not reads([text], form)), texts[0])
        raise BadData(
            f"column {name!r}: {bad!r} is not a date in the format {form}",
            f"choose --date-format or --missing, or keep it as text with --kind '{name}=text'",
        )
    dates = to_dates(texts, form)
    return pd.concat([dates, pd.Series([pd.NaT], dtype=dates.dtype)], ignore_index=True).array


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
