"""How the characters of a CSV fall into fields: delimiter and names, and a sample of its columns."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from datagen.tables.column_names import look_alikes, unique_names, values_in_header
from datagen.tables.encoding import WIDE, refuse_markup
from datagen.tables.number_formats import only_decimal_mark
from datagen.tables.records import is_blank
from trainer.contract.command.errors import BadData

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 18
BLOCKS, BLOCK_BYTES = 16, 1 << 15
SAMPLE_RECORDS = 500
NO_HEADER = "if the first line is a title, skip the lines above the header with --skip-lines"
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
# As Excel writes it and reads it: the first line names the delimiter.
SEPARATOR_LINE = re.compile(r'"?sep=(?P<mark>[ -~\t])"?[ \t]*(?:\r\n|\r|\n)', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The delimiter, the column names as the frame has them, and sampled values of each column.

    `notes` say what may be doubted: names that were changed, a title, a header that looks like values.
    """

    delimiter: str
    skip_space: bool
    skip_lines: int
    names: list[str]
    notes: list[str]
    columns: list[list[str]]


def find_layout(
    path: Path,
    encoding: str,
    *,
    header: bool = True,
    delimiter: str | None = None,
    skip_space: bool | None = None,
    skip_lines: int | None = None,
) -> Layout:
    """The layout inferred from the head of the file, and a sample from all over it.

    csv.Sniffer is not used: it takes letters and blanks for delimiters and fails on one column. Of
    four candidates, the one wins that gives the most records the width of the header.
    Raises BadData when there is no header line, and for HTML and JSON.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    whole = len(head) < HEAD_BYTES
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head, final=whole)
    text = text.lstrip("\ufeff")
    refuse_markup(path, text)
    stated = SEPARATOR_LINE.match(text)
    if skip_lines is None:
        skip_lines = int(stated is not None)
    if stated and skip_lines:
        delimiter = delimiter or stated["mark"]
    for _ in range(skip_lines):
        text = LINE.sub("", text, count=1)
    if not text.strip():
        raise BadData(f"{path}: empty file", "give a CSV with a header line and rows")
    notes: list[str] = []
    if not delimiter:
        delimiter, notes = _find_delimiter(text, whole=whole)
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if skip_space is None:
        skip_space = all(line.count(delimiter) == line.count(delimiter + " ") > 0 for line in lines)
    rows = _records(text, delimiter, skip_space=skip_space, whole=whole, limit=None)
    if not rows:
        raise BadData(
            f"{path}: the first line does not end within {HEAD_BYTES} bytes",
            "look for a quote that is never closed, or name the delimiter with --delimiter",
        )
    first = rows.pop(0) if header else [""] * len(rows[0])
    names, named = _names(first, rows) if header else (unique_names(first)[0], [])
    rows += [] if whole or encoding in WIDE else _records_across_file(path, encoding, delimiter)
    sample = [row for row in rows if len(row) == len(names)]
    columns = [list(column) for column in zip(*sample, strict=True)] or [[] for _ in names]
    if header:
        named += values_in_header(first, columns)
    return Layout(
        delimiter=delimiter,
        skip_space=skip_space,
        skip_lines=skip_lines,
        names=names,
        notes=[*notes, *named],
        columns=columns,
    )


def _names(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[str]]:
    """The names of the columns, and what may be doubted about them."""
    width = len(header)
    if rows and all(len(row) == width + 1 and not row[-1] for row in rows):
        header = [*header, ""]  # each row ends with a delimiter, the header does not
    elif rows and not header[-1].strip() and all(len(row) == width - 1 for row in rows):
        header = header[:-1]  # the other way round
    names, notes = unique_names(header)
    notes += look_alikes(names)
    named = sum(bool(name.strip()) for name in header)
    if len(header) == 1 and (mark := _delimiter_in_rows(rows)):
        notes.append(f"one column, and most rows hold {mark!r}: {NO_HEADER}")
    elif len(header) == 1 and (fields := _aligned_fields(rows)):
        notes.append(
            f"one column, and each row holds {fields} words: the columns may be aligned by blanks"
        )
    elif 2 * named < len(header):
        notes.insert(0, f"{named} of {len(header)} columns have a name: {NO_HEADER}")
    return names, notes


def _delimiter_in_rows(rows: list[list[str]]) -> str:
    """The delimiter that most rows of one column hold; empty where none does. Commas are of texts."""
    for mark in DELIMITERS[1:]:
        if 2 * sum(mark in row[0] for row in rows if row) > len(rows):
            return mark
    return ""


def _aligned_fields(rows: list[list[str]]) -> int:
    """How many words each row of one column has, where all have as many and more than one blank between."""
    words = {len(row[0].split()) for row in rows if row}
    aligned = sum("  " in row[0].strip() or "\t" in row[0] for row in rows if row)
    return words.pop() if len(words) == 1 and 2 * aligned > len(rows) else 0


def _find_delimiter(text: str, *, whole: bool) -> tuple[str, list[str]]:
    """The delimiter, and a note where another one fits as well."""
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
    if not scores:
        return next((d for d in DELIMITERS if d not in text), ","), []
    best = max(scores, key=lambda delimiter: scores[delimiter])
    others = [d for d in scores if d != best and scores[d][:2] == (True, 1.0) == scores[best][:2]]
    if len(lines) < 2:
        return best, []
    return best, [
        f"the delimiter is {best!r} ({scores[best][2]} columns), but {other!r} also gives each row"
        f" as many fields ({scores[other][2]}) (--delimiter {other!r})"
        for other in others
    ]


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
