"""A CSV to its Reading and its frame: a sample, one pass over the bytes, one pass of pandas.

The sample shows the layout, and what pandas would destroy silently (leading zeros, numbers
too long for it). Everything else is inferred from all values of a column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import filterfalse, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.tables.column_kinds import find_columns
from datagen.tables.column_types import EXACT, plain_dates, shown
from datagen.tables.csv_layout import Layout, find_layout
from datagen.tables.doubts import doubts
from datagen.tables.encoding import certain_encoding, refuse_binary
from datagen.tables.frame import parse, to_kinds, trimmed, with_plain_blanks
from datagen.tables.missing_values import DEFAULT, DOUBTED, stands_for_missing
from datagen.tables.number_formats import only_decimal_mark
from datagen.tables.scan import Scan, scan
from trainer.contract.command.errors import BadData, NotFound

if TYPE_CHECKING:
    import pandas as pd

SAMPLED_VALUES = 200
NOT_A_NUMBER = re.compile(r"\s*(?:-?0\d+|\+\d{7,})\s*", re.ASCII)
# What pandas would read in one way where there are two, or with other digits: read as text first.
DOUBTFUL = re.compile(
    r"\s*(?:\d+[eE]\d{1,3}|-?\d{16,}|[+-]?inf(?:inity)?|[+-]?[\d.]+[eE]\+?\d{3,})\s*",
    re.ASCII | re.IGNORECASE,
)
GROUPED_BY_POINTS = re.compile(r"-?[1-9]\d{0,2}\.\d{3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What the user states about a file: used as stated; only the rest is inferred."""

    encoding: str | None = None
    header: bool = True
    skip_lines: int | None = None
    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A CSV as it was read: the frame, the Reading that makes it again, and what a person may doubt."""

    frame: pd.DataFrame
    reading: Reading
    sha256: str
    notes: tuple[str, ...] = ()


def read_as(path: Path, reading: Reading) -> Table:
    """Read a CSV by `reading`.

    Raises NotFound and BadData naming the file, and the line or the column and value.
    """
    check_file(path)
    layout = find_layout(
        path,
        reading.encoding,
        header=reading.header,
        delimiter=reading.delimiter,
        skip_space=reading.skip_space,
        skip_lines=reading.skip_lines,
    )
    found = scan(path, reading, len(layout.names), fixed=True)
    frame = parse(path, reading, layout.names, found.rows)
    return Table(
        frame=_with_file_name(path, lambda: to_kinds(frame, reading)),
        reading=reading,
        sha256=found.sha256,
    )


def infer(path: Path, given: ReadingOptions | None = None) -> Table:
    """Infer how to read a CSV, and read it. Raises as `read_as` does."""
    given = given or ReadingOptions()
    check_file(path)
    with path.open("rb") as file:
        head = file.read(1 << 16)
    refuse_binary(path, head)
    encoding = given.encoding or certain_encoding(head)
    layout = _layout(path, encoding, given)
    reading = Reading(
        encoding=encoding,
        header=given.header,
        delimiter=layout.delimiter,
        skip_space=layout.skip_space,
        skip_lines=layout.skip_lines,
        missing=[*given.missing],
        kept=[*given.kept],
        formats={n: f for n, f in given.formats.items() if n in layout.names},
    )
    found = scan(path, reading, len(layout.names), fixed=given.encoding is not None)
    if found.guessed:  # the names of columns may be among what was read wrongly
        layout = _layout(path, found.encoding, given)
    votes = _decimal_marks(layout)
    proven = given.decimal is not None or len({*votes}) == 1
    reading = reading.model_copy(
        update={
            "encoding": found.encoding,
            "errors": found.errors,
            "decimal": given.decimal or ("," if votes.count(",") > votes.count(".") else "."),
            "kinds": _stated_kinds(layout, given),
        }
    )
    raw, unsure = _parse(path, reading, layout, found.rows, proven=proven)
    made, examples = trimmed(raw, reading)
    columns, notes = _with_file_name(
        path,
        lambda: find_columns(made, reading, unsure=unsure, proven=proven, given=given),
    )
    frame = _with_file_name(path, lambda: to_kinds(_without_stand_ins(made, columns), columns))
    frame, inner = with_plain_blanks(frame)
    if examples or inner:
        columns = columns.model_copy(update={"trim": True})
    notes = [
        *layout.notes,
        *_encoding_notes(found, layout),
        *_trim_notes(examples),
        *(
            f"{name}: no-break blanks are read as blanks, as in {text}"
            for name, text in inner.items()
        ),
        *notes,
        *_words_taken_for_missing(path, columns, frame, layout, found.rows),
        *doubts(frame, columns),
    ]
    return Table(frame=frame, reading=columns, sha256=found.sha256, notes=tuple(notes))


def check_file(path: Path) -> None:
    if path.is_dir():
        raise NotFound(f"{path} is a folder", "give the CSV files in it")
    if not path.is_file():
        raise NotFound(
            f"{path}: {'not a file' if path.exists() else 'no such file'}", "give a CSV file"
        )


def _layout(path: Path, encoding: str, given: ReadingOptions) -> Layout:
    return find_layout(
        path,
        encoding,
        header=given.header,
        delimiter=given.delimiter,
        skip_lines=given.skip_lines,
    )


def _stated_kinds(layout: Layout, given: ReadingOptions) -> dict[str, str]:
    """The kinds that the user stated, and text where pandas would lose what is written."""
    codes = {
        name: "text"
        for name, values in zip(layout.names, layout.columns, strict=True)
        if any(map(NOT_A_NUMBER.fullmatch, values))
    }
    dates = dict.fromkeys(given.formats, "date")
    stated = {n: k for n, k in (dates | given.kinds).items() if n in layout.names}
    return codes | stated


def _parse(
    path: Path, reading: Reading, layout: Layout, rows: int, *, proven: bool
) -> tuple[pd.DataFrame, set[str]]:
    """The columns as pandas finds them, and the names of those that are text until their kind is known.

    `proven`: the decimal mark is stated, or a column proves it.
    """
    doubted = [DOUBTFUL.fullmatch]
    if not proven and reading.delimiter != ",":
        doubted.append(GROUPED_BY_POINTS.fullmatch)
    unsure = {
        name
        for name, values in zip(layout.names, layout.columns, strict=True)
        if any(any(map(matches, values)) for matches in doubted)
    } - {*reading.kinds}

    def read(only: list[str] | None = None) -> pd.DataFrame:
        as_text = reading.kinds | dict.fromkeys(unsure, "text")
        changed = reading.model_copy(update={"kinds": as_text})
        return parse(path, changed, layout.names, rows, only=only)

    frame = read()
    lossy = [name for name in layout.names if _loses_digits(frame[name])]
    if lossy:
        unsure |= {*lossy}
        again = read(lossy)
        frame = frame.assign(**{name: again[name] for name in lossy})
    return frame, unsure


def _loses_digits(column: pd.Series[Any]) -> bool:
    """Whether a column that pandas made floats holds infinite ones, or whole ones too long for a float."""
    if column.dtype.kind != "f":
        return False
    largest = column.abs().max()
    return largest == float("inf") or (largest >= EXACT and not (column % 1 > 0).any())


def _with_file_name(path: Path, make: Any) -> Any:
    try:
        return make()
    except BadData as error:
        raise BadData(f"{path}: {error.cause}", error.hint) from error


def _decimal_marks(layout: Layout) -> list[str]:
    """The decimal marks of the columns that can have only one."""
    marks = [
        only_decimal_mark(
            [*islice(filterfalse(stands_for_missing, filter(None, column)), SAMPLED_VALUES)]
        )
        for column in layout.columns
    ]
    return [mark for mark in marks if mark]


def _encoding_notes(found: Scan, layout: Layout) -> list[str]:
    values = [*layout.names, *(value for column in layout.columns for value in column)]
    if found.errors == "replace":
        damaged = next((value for value in values if "\ufffd" in value), "")
        example = f", as in {shown(damaged)}" if damaged else ""
        place = f"some bytes are not UTF-8, the first in line {found.damaged_line}"
        return [f"encoding: {place}: read as '\ufffd'{example} (--encoding)"]
    if not found.guessed:
        return []
    foreign = list(dict.fromkeys(value for value in values if not value.isascii()))[:3]
    return [f"encoding: {found.encoding} is a guess; it reads {foreign} (--encoding)"]


def _trim_notes(examples: dict[str, list[str]]) -> list[str]:
    if not examples:
        return []
    before, after = next(iter(examples.values()))
    what = f"{shown(before)} is read as {shown(after)}"
    return [f"{', '.join(examples)}: blanks or invisible characters are left out, so that {what}"]


def _words_taken_for_missing(
    path: Path, reading: Reading, frame: pd.DataFrame, layout: Layout, rows: int
) -> list[str]:
    """A note for each word of text that is missing because pandas takes it so: NA may be Namibia."""
    import pandas as pd

    gaps = [
        name
        for name in layout.names
        if isinstance(frame[name].dtype, pd.StringDtype)
        and frame[name].isna().any()
        and not plain_dates(frame[name].dropna().head(1).tolist())
    ]
    if not gaps or not (doubted := DOUBTED - {*reading.kept, *reading.missing}):
        return []
    words = reading.model_copy(update={"kept": [*(DEFAULT - {""})]})
    texts = parse(path, words, layout.names, rows, only=gaps)
    return [
        f"{name}: {text!r} is missing, not a value (--not-missing {text})"
        for name in gaps
        for text in sorted(doubted & {*texts[name].dropna().unique().tolist()})
    ]


def _without_stand_ins(raw: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """The frame as pandas would have read it, had it known what stands for missing."""
    frame = raw.copy(deep=False)
    for name, texts in reading.sentinels.items():
        column = frame[name]
        marks = [float(t) for t in texts] if column.dtype.kind in "iuf" else texts
        frame[name] = column.mask(column.isin(marks))
    return frame
