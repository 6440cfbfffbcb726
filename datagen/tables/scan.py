"""One pass over a CSV's bytes: its hash, whether it is UTF-8, and that every record is as wide as the header.

pandas fills short records and, with a wider first record, shifts columns without a word; so widths are
counted here. Quotes in odd places and records of another width are rare: then the csv module reads the
file again, slowly, and its result is used.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datagen.tables.csv_layout import NO_HEADER
from datagen.tables.encoding import (
    UTF8,
    WIDE,
    guess_encoding,
    is_damaged_utf8,
    non_ascii_words,
)
from datagen.tables.records import is_blank, open_text
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import numpy as np

    from datagen.episode import Reading

CHUNK = 1 << 22
LONGEST_RECORD = 1 << 26
CHUNKS_FOR_GUESS = 2  # for words to guess the encoding from
MAX_FAULTS = 1000
QUOTE, LINE_FEED, RETURN = b'"\n\r'
BLANKS = [*b" \t"]
END = "\0the end\0"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """SHA-256 of the bytes, how they become text, and the number of records below the header.

    `guessed`: nothing proves `encoding`. `errors` is "replace" in a file that is UTF-8 except for a few
    bytes, the first of them in line `damaged_line`.
    """

    sha256: str
    encoding: str
    errors: Literal["strict", "replace"]
    guessed: bool
    rows: int
    damaged_line: int = 0


class _UncountableError(Exception):
    """The quick count cannot tell the width of a record."""


def scan(path: Path, reading: Reading, width: int, *, fixed: bool) -> Scan:
    """Read the whole file once. `fixed`: the user chose the encoding: guess no other.

    Raises BadData: bytes that are invalid in the encoding, records of another width (one line each),
    a quote that is never closed.
    """
    encoding, errors = reading.encoding, reading.errors
    digest = hashlib.sha256()
    words: set[bytes] = set()
    heard = CHUNKS_FOR_GUESS
    check = codecs.getincrementaldecoder(encoding)(errors)
    foreign = False  # whether characters that are not ASCII were decoded
    lines, damaged = 0, 0
    odd, rows, rest, first = False, 0, b"", True
    for chunk, last in _chunks(path):
        digest.update(chunk)
        text = ""
        plain = chunk.isascii()
        if not damaged and (encoding in WIDE or not plain):
            try:
                text = check.decode(chunk, final=last)
                foreign |= not plain
            except UnicodeDecodeError as error:
                damaged = lines + 1 + error.object[: error.start].count(b"\n")
                if fixed or encoding != UTF8:
                    raise _not_in_encoding(f"{path}:{damaged}", encoding, error) from error
        if damaged and heard:
            words |= non_ascii_words(chunk)
            heard -= 1
        lines += chunk.count(b"\n")
        if odd:
            continue
        rest += text.encode("utf-8", "replace") if encoding in WIDE else chunk
        try:
            if first:
                rest = _without_lines(rest.removeprefix(codecs.BOM_UTF8), reading.skip_lines)
            block, rest = (rest + b"\n", b"") if last else _whole_records(rest)
            header = first and reading.header
            rows += _count(block, reading.delimiter.encode(), width, header=header)
            first = first and not block
        except _UncountableError:
            odd, rest = True, b""
    if damaged and (foreign or is_damaged_utf8(words)):
        errors = "replace"
    guessed = bool(damaged) and errors == "strict"
    found = guess_encoding(sorted(words)) if guessed else encoding
    if odd:
        changes = {"encoding": found, "errors": errors}
        rows = _count_exactly(path, reading.model_copy(update=changes), width)
    return Scan(
        sha256=digest.hexdigest(),
        encoding=found,
        errors=errors,
        guessed=guessed,
        rows=max(rows - reading.header, 0),
        damaged_line=damaged,
    )


def _without_lines(data: bytes, lines: int) -> bytes:
    for _ in range(lines):
        end = _LINE.match(data)
        if end is None:
            raise _UncountableError
        data = data[end.end() :]
    return data


def _chunks(path: Path) -> Iterator[tuple[bytes, bool]]:
    with path.open("rb") as file:
        chunk = file.read(CHUNK)
        while chunk:
            following = file.read(CHUNK)
            yield chunk, not following
            chunk = following


def _whole_records(data: bytes) -> tuple[bytes, bytes]:
    """Cut after the last line feed that ends a record."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end) if b'"' in data else 0
    while end and quotes % 2:
        before = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', before, end)
        end = before
    if end:
        return data[:end], data[end:]
    if len(data) > LONGEST_RECORD:
        raise _UncountableError
    return b"", data


def _count(block: bytes, delimiter: bytes, width: int, *, header: bool) -> int:
    """How many records the block has; raises _UncountableError when one is not `width` fields wide.

    The header may have one field more or less.
    """
    import numpy as np

    if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
        raise _UncountableError
    if not block:
        return 0
    data = np.frombuffer(block, dtype=np.uint8)
    ends, marks = data == LINE_FEED, data == delimiter[0]
    if b'"' in block:
        outside = ~_inside_quotes(data, delimiter[0])
        ends, marks = ends & outside, marks & outside
    at = np.flatnonzero(ends)
    if not len(at) or at[-1] != len(block) - 1:
        raise _UncountableError
    widths = np.diff(np.searchsorted(np.flatnonzero(marks), at), prepend=0) + 1
    starts = np.concatenate(([0], at[:-1] + 1))
    lengths = at - starts
    blank = (lengths == 0) | ((lengths == 1) & (data[starts] == RETURN))
    for record in np.flatnonzero((widths == 1) & (lengths > 0) & np.isin(data[starts], BLANKS)):
        blank[record] |= not block[starts[record] : at[record]].strip()
    wrong = (widths != width) & ~blank
    if header:
        top = int(np.argmin(blank))
        wrong[top] = wrong[top] and abs(widths[top] - width) > 1
    if wrong.any():
        raise _UncountableError
    return int((~blank).sum())


def _inside_quotes(data: np.ndarray, delimiter: int) -> np.ndarray:
    """Which bytes are inside quotes; raises _UncountableError where a quote is not at a field's border."""
    import numpy as np

    quotes = data == QUOTE
    at = np.flatnonzero(quotes)
    border = np.zeros(256, dtype=bool)
    border[[QUOTE, LINE_FEED, RETURN, delimiter]] = True
    before = np.where(at[0::2] > 0, data[at[0::2] - 1], LINE_FEED)
    if len(at) % 2 or not border[before].all() or not border[data[at[1::2] + 1]].all():
        raise _UncountableError
    return np.logical_xor.accumulate(quotes)


def _count_exactly(path: Path, reading: Reading, width: int) -> int:
    delimiter = reading.delimiter
    faults: list[str] = []
    rows, line, closed = 0, 1 + reading.skip_lines, False
    with open_text(path, reading) as file:
        lines = itertools.chain(file, ["\n", END])
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=reading.skip_space)
        try:
            for record in reader:
                closed = record == [END]
                if not closed and not is_blank(record):
                    rows += 1
                    header = reading.header and rows == 1
                    if abs(len(record) - width) > header:
                        faults.append(
                            f"{path}:{line}: {len(record)} fields, the header has {width}"
                        )
                if len(faults) > MAX_FAULTS or (record and record[-1].endswith(END)):
                    break
                line = reader.line_num + 1 + reading.skip_lines
        except csv.Error as error:
            raise BadData(
                f"{path}:{line}: {error}", "look for a quote in this record that is never closed"
            ) from error
        except UnicodeDecodeError as error:
            raise _not_in_encoding(f"{path}:{line}", reading.encoding, error) from error
    if not closed and len(faults) <= MAX_FAULTS:
        raise BadData(f"{path}:{line}: a quote opens here and never closes", "close the quote")
    if faults:
        raise BadData(
            faults[0]
            if len(faults) == 1
            else f"{faults[0]}, and {len(faults) - 1} more such lines",
            NO_HEADER
            if width == 1
            else f"fix these lines, or give the delimiter with --delimiter (used: {delimiter!r})",
            faults=faults[1:],
        )
    return rows


def _not_in_encoding(place: str, encoding: str, error: UnicodeDecodeError) -> BadData:
    return BadData(
        f"{place}: not {encoding}: {error.reason}",
        "give the right encoding with --encoding, and check that the file is a CSV",
    )
