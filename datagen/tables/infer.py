"""A CSV to its Reading and its frame: a sample, one pass over the bytes, one pass of pandas.

The sample shows the layout, and what pandas would destroy silently (leading zeros, numbers
too long for it). Everything else is inferred from all values of a column.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.tables.column_types import FoundKind, distinct, find_kind, plain_dates
from datagen.tables.csv_layout import Layout, find_layout
from datagen.tables.encoding import certain_encoding
from datagen.tables.frame import parse, to_kinds
from datagen.tables.missing_values import number_stand_in, stands_for_missing, suspected_stand_in
from datagen.tables.number_formats import only_decimal_mark
from datagen.tables.scan import Scan, scan
from trainer.contract.command.errors import BadData, NotFound

if TYPE_CHECKING:
    import pandas as pd

SAMPLED_VALUES = 200
NOT_A_NUMBER = re.compile(r"-?0\d+|\+\d{7,}|-?\d{19,}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """What the user states about a file: used as stated; only the rest is inferred."""

    encoding: str | None = None
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
        path, reading.encoding, delimiter=reading.delimiter, skip_space=reading.skip_space
    )
    found = _scan(path, reading.encoding, layout, fixed=True)
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
        encoding = given.encoding or certain_encoding(path, file.read(1 << 16))
    layout = find_layout(path, encoding, delimiter=given.delimiter)
    found = _scan(path, encoding, layout, fixed=given.encoding is not None)
    if found.guessed:  # the names of columns may be among what was read wrongly
        layout = find_layout(path, found.encoding, delimiter=given.delimiter)
    kinds = {
        name: "text"
        for name, values in zip(layout.names, layout.columns, strict=True)
        if any(map(NOT_A_NUMBER.fullmatch, values))
    }
    reading = Reading(
        encoding=found.encoding,
        delimiter=layout.delimiter,
        skip_space=layout.skip_space,
        decimal=given.decimal or _decimal(layout),
        missing=[*given.missing],
        kept=[*given.kept],
        kinds={**kinds, **{n: k for n, k in given.kinds.items() if n in layout.names}},
        formats={n: f for n, f in given.formats.items() if n in layout.names},
    )
    raw = parse(path, reading, layout.names, found.rows)
    reading, notes = _with_file_name(path, lambda: _columns(raw, reading, given))
    frame = _with_file_name(path, lambda: to_kinds(_without_stand_ins(raw, reading), reading))
    notes = [*layout.renamed, *_encoding_notes(found, layout), *notes]
    return Table(frame=frame, reading=reading, sha256=found.sha256, notes=tuple(notes))


def check_file(path: Path) -> None:
    if path.is_dir():
        raise NotFound(f"{path} is a folder", "give the CSV files in it")
    if not path.is_file():
        raise NotFound(
            f"{path}: {'not a file' if path.exists() else 'no such file'}", "give a CSV file"
        )


def _scan(path: Path, encoding: str, layout: Layout, *, fixed: bool) -> Scan:
    return scan(
        path,
        encoding=encoding,
        fixed=fixed,
        delimiter=layout.delimiter,
        width=len(layout.names),
        skip_space=layout.skip_space,
    )


def _with_file_name(path: Path, make: Any) -> Any:
    try:
        return make()
    except BadData as error:
        raise BadData(f"{path}: {error.cause}", error.hint) from error


def _decimal(layout: Layout) -> str:
    """The decimal mark of most columns that can have only one."""
    votes = [
        only_decimal_mark(
            [text for text in column if text and not stands_for_missing(text)][:SAMPLED_VALUES]
        )
        for column in layout.columns
    ]
    return "," if votes.count(",") > votes.count(".") else "."


def _encoding_notes(found: Scan, layout: Layout) -> list[str]:
    if not found.guessed:
        return []
    values = [*layout.names, *(value for column in layout.columns for value in column)]
    shown = list(dict.fromkeys(value for value in values if not value.isascii()))[:3]
    return [f"encoding: {found.encoding} is a guess; it reads {shown} (--encoding)"]


def _columns(
    raw: pd.DataFrame, reading: Reading, given: ReadingOptions
) -> tuple[Reading, list[str]]:
    """The Reading completed from the columns' values."""
    notes: list[str] = []
    kinds, formats = dict(reading.kinds), dict(reading.formats)
    sentinels: dict[str, list[str]] = {}
    decimals: dict[str, str] = {}
    units: dict[str, str] = {}
    groups = ""
    unsure: dict[str, FoundKind] = {}
    marks = given.decimal or reading.decimal + ("," if reading.decimal == "." else ".")
    for name in map(str, raw.columns):
        column = raw[name]
        if name in formats:
            kinds[name] = "date"
        if kinds.get(name) in {"text", "boolean"} or name in formats:
            continue
        if raw[name].dtype.kind in "iuf" and name not in kinds:
            stand_in, doubt = number_stand_in(column), suspected_stand_in(column)
            if stand_in is not None and str(stand_in) not in reading.kept:
                sentinels[name] = [str(stand_in)]
            elif doubt is not None:
                notes.append(f"{name}: {doubt} is a value, not missing (--missing {doubt})")
            continue
        if raw[name].dtype.kind == "b" and name not in kinds:
            continue
        found = find_kind(column, marks=marks, thousands=given.thousands)
        notes += [f"{name}: {note}" for note in found.notes]
        missing = [text for text in found.missing if text not in reading.kept]
        if missing and len(missing) == len(found.missing):
            sentinels[name] = missing
        elif found.missing:
            continue
        if found.kind == "number":
            kinds.setdefault(name, "number")
            groups += found.groups
            if found.unit:
                units[name] = found.unit
            if found.style and found.style.decimal != reading.decimal:
                decimals[name] = found.style.decimal
        elif found.kind == "date":
            unsure[name] = found
        elif found.kind == "boolean" or missing or raw[name].dtype == object:
            kinds.setdefault(name, found.kind)
    chosen, more = _formats(raw, unsure, sentinels)
    notes += more
    formats |= chosen
    kinds |= dict.fromkeys(chosen, "date")
    unknown = [name for name, kind in kinds.items() if kind == "date" and name not in formats]
    for name in unknown:
        if name in given.kinds and not plain_dates(_distinct(raw[name], sentinels.get(name, ()))):
            raise BadData(
                f"column {name!r}: its date format is ambiguous",
                f"give the format, for example --date-format '{name}=%d/%m/%Y'",
            )
    thousands = given.thousands or "".join(sorted(set(groups))) or None
    changes = {
        "kinds": kinds,
        "formats": formats,
        "sentinels": sentinels,
        "decimals": decimals,
        "units": units,
        "thousands": thousands,
    }
    return reading.model_copy(update=changes), notes


def _formats(
    raw: pd.DataFrame, unsure: dict[str, FoundKind], sentinels: dict[str, list[str]]
) -> tuple[dict[str, str], list[str]]:
    """A format for each date column that needs one; of two orders, the one another column proves."""
    notes: list[str] = []
    proven = {found.formats[0][:2] for found in unsure.values() if len(found.formats) == 1}
    chosen: dict[str, str] = {}
    for name, found in unsure.items():
        fitting = [f for f in found.formats if len(found.formats) == 1 or f[:2] in proven]
        if len(fitting) != 1:
            notes.append(
                f"{name}: left as text: its dates may be {' or '.join(found.formats)} "
                f"(--date-format '{name}={found.formats[0]}')"
            )
        elif not plain_dates(_distinct(raw[name], sentinels.get(name, ()))):
            chosen[name] = fitting[0]
            if len(found.formats) > 1:
                notes.append(f"{name}: read as {fitting[0]}, like the table's other dates")
    return chosen, notes


def _distinct(column: pd.Series[Any], without: Sequence[str]) -> list[str]:
    return [text for text in distinct(column) if text not in without]


def _without_stand_ins(raw: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """The frame as pandas would have read it, had it known what stands for missing."""
    frame = raw.copy(deep=False)
    for name, texts in reading.sentinels.items():
        column = frame[name]
        marks = [float(t) for t in texts] if column.dtype.kind in "iuf" else texts
        frame[name] = column.mask(column.isin(marks))
    return frame
