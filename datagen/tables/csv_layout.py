"""How the characters of a CSV fall into fields: delimiter, header, and a sample of its columns."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from datagen.tables.encoding import WIDE
from datagen.tables.number_formats import only_decimal_mark
from trainer.contract.command.errors import BadData

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 18
BLOCKS, BLOCK_BYTES = 16, 1 << 15
SAMPLE_RECORDS = 500
NO_HEADER = "if the first line is a title, delete the lines above the header"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The delimiter, the column names as the frame has them, and sampled values of each column."""

    delimiter: str
    skip_space: bool
    names: list[str]
    renamed: list[str]
    columns: list[list[str]]


def is_blank(record: list[str]) -> bool:
    """Whether a record is a line that readers pass over: nothing on it, or only blanks."""
    return not record or (len(record) == 1 and bool(record[0]) and not record[0].strip())


def find_layout(
    path: Path,
    encoding: str,
    *,
    delimiter: str | None = None,
    skip_space: bool | None = None,
) -> Layout:
    """The layout inferred from the head of the file, and a sample from all over it.

    csv.Sniffer is not used: it takes letters and blanks for delimiters and fails on one column. Of
    four candidates, the one wins that gives the most records the width of the header.
    Raises BadData when there is no header line.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    whole = len(head) < HEAD_BYTES
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head, final=whole)
    text = text.lstrip("\ufeff")
    if not text.strip():
        raise BadData(f"{path}: empty file", "give a CSV with a header line and rows")
    delimiter = delimiter or _find_delimiter(text, whole=whole)
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if skip_space is None:
        skip_space = all(line.count(delimiter) == line.count(delimiter + " ") > 0 for line in lines)
    records = _records(text, delimiter, skip_space=skip_space, whole=whole, limit=None)
    if not records:
        raise BadData(
            f"{path}: the first line does not end within {HEAD_BYTES} bytes",
            "look for a quote that is never closed, or name the delimiter with --delimiter",
        )
    header, *rows = records
    width = len(header)
    if rows and all(len(row) == width + 1 and not row[-1] for row in rows):
        header = [*header, ""]  # each row ends with a delimiter, the header does not
    names, renamed = unique_names(header)
    named = sum(bool(name.strip()) for name in header)
    if len(header) == 1 and (mark := _delimiter_in_rows(rows)):
        renamed.append(f"one column, and most rows hold {mark!r}: {NO_HEADER}")
    elif 2 * named < len(header):
        renamed.insert(0, f"{named} of {len(header)} columns have a name: {NO_HEADER}")
    rows += [] if whole or encoding in WIDE else _records_across_file(path, encoding, delimiter)
    sample = [row for row in rows if len(row) == len(names)]
    return Layout(
        delimiter=delimiter,
        skip_space=skip_space,
        names=names,
        renamed=renamed,
        columns=[list(column) for column in zip(*sample, strict=True)] or [[] for _ in names],
    )


def unique_names(header: list[str]) -> tuple[list[str], list[str]]:
    """Column names without blanks around them, none empty and none twice; and what was renamed.

    A repeated name gets .1, .2 as in pandas, an empty one becomes column_3 for the third column.
    """
    plain = [" ".join(name.split()) for name in header]
    given, taken = {*plain}, set[str]()
    numbers: dict[str, int] = {}
    names: list[str] = []
    renamed: list[str] = []
    for at, wanted in enumerate(plain, 1):
        base = wanted or f"column_{at}"
        number = numbers.get(base, 0)
        name = f"{base}.{number}" if number else base
        while name in taken or (number and name in given):
            number += 1
            name = f"{base}.{number}"
        numbers[base] = number
        taken.add(name)
        if name != wanted:
            renamed.append(f"column {at}: {'no name' if not wanted else repr(wanted)} -> {name!r}")
        names.append(name)
    return names, renamed


def _delimiter_in_rows(rows: list[list[str]]) -> str:
    """The delimiter that most rows of one column hold; empty where none does. Commas are of texts."""
    for mark in DELIMITERS[1:]:
        if 2 * sum(mark in row[0] for row in rows if row) > len(rows):
            return mark
    return ""


def _find_delimiter(text: str, *, whole: bool) -> str:
    scores: dict[str, tuple[bool, float, int]] = {}
    for delimiter in DELIMITERS:
        records = _records(text, delimiter, skip_space=False, whole=whole, limit=SAMPLE_RECORDS)
        if not records:
            continue
        widths = Counter(map(len, records[1:]))
        width, times = widths.most_common(1)[0] if widths else (len(records[0]), 1)
        named = len(records[0]) > 1
        if named or (width > 1 and times > 0.9 * len(records[1:])):
            agreed = times / max(1, len(records) - 1) * (abs(len(records[0]) - width) <= 1)
            scores[delimiter] = (named, agreed, width)
    lines = [line for line in text.splitlines()[1:SAMPLE_RECORDS] if line.strip()]
    if not any(named for named, _, _ in scores.values()) and only_decimal_mark(lines) == ",":
        scores.clear()  # one column of numbers with a decimal comma
    if scores:
        return max(scores, key=lambda delimiter: scores[delimiter])
    return next((d for d in DELIMITERS if d not in text), ",")


def _records(
    text: str, delimiter: str, *, skip_space: bool, whole: bool, limit: int | None
) -> list[list[str]]:
    """The first records; the last one is left out where it may be cut off."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=skip_space
    )
    records: list[list[str]] = []
    try:
        for record in reader:
            if not is_blank(record):
                records.append(record)
            if limit and len(records) > limit:
                return records
    except csv.Error:  # a field too long: a quote that is never closed; the scan reports where
        return records
    return records if whole else records[:-1]


def _records_across_file(path: Path, encoding: str, delimiter: str) -> list[list[str]]:
    """Records from blocks spread over the file; a block that starts inside quotes yields none."""
    size = path.stat().st_size
    records: list[list[str]] = []
    with path.open("rb") as file:
        for number in range(1, BLOCKS + 1):
            file.seek(max(HEAD_BYTES, size * number // BLOCKS - BLOCK_BYTES))
            file.readline()
            text = file.read(BLOCK_BYTES).decode(encoding, "replace")
            last = number == BLOCKS
            records += _records(text, delimiter, skip_space=False, whole=last, limit=None)
    return records
