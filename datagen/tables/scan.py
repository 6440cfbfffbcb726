"""One pass over a CSV's bytes: its hash, whether it is UTF-8, and that every record is as wide as the header.

pandas fills short records and, with a wider first record, shifts columns without a word; so widths
are counted here. Quotes in odd places and records of another width are rare: then the csv module reads the file again, slowly, and its result is used.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.tables.csv_layout import NO_HEADER, is_blank
from datagen.tables.encoding import UTF8, WIDE, guess_encoding, non_ascii_words
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import numpy as np

CHUNK = 1 << 22
LONGEST_RECORD = 1 << 26
CHUNKS_FOR_GUESS = 2  # for words to guess the encoding from
MAX_FAULTS = 1000
QUOTE, LINE_FEED, RETURN = b'"\n\r'
BLANKS = [*b" \t"]
END = "\0the end\0"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """SHA-256 of the bytes, the encoding (guessed, where no proof was found), records below the header."""

    sha256: str
    encoding: str
    guessed: bool
    rows: int


class _UncountableError(Exception):
    """The quick count cannot tell the width of a record."""


def scan(
    path: Path, *, encoding: str, fixed: bool, delimiter: str, width: int, skip_space: bool
) -> Scan:
    """Read the whole file once. `fixed`: the user chose `encoding`: guess no other.

    Raises BadData: bytes that are invalid in the encoding, records of another width (one line each),
    a quote that is never closed.
    """
    digest = hashlib.sha256()
    words: set[bytes] = set()
    heard = CHUNKS_FOR_GUESS
    check = codecs.getincrementaldecoder(encoding)()
    valid, odd, rows, rest = True, False, -1, b""
    for chunk, last in _chunks(path):
        digest.update(chunk)
        text = ""
        if valid and (encoding in WIDE or not chunk.isascii()):
            try:
                text = check.decode(chunk, final=last)
            except UnicodeDecodeError as error:
                if fixed or encoding != UTF8:
                    raise _not_in_encoding(path, encoding, error) from error
                valid = False
        if not valid and heard:
            words |= non_ascii_words(chunk)
            heard -= 1
        if odd:
            continue
        rest += text.encode("utf-8", "replace") if encoding in WIDE else chunk
        if rows < 0:
            rest = rest.removeprefix(codecs.BOM_UTF8)
        try:
            block, rest = (rest + b"\n", b"") if last else _whole_records(rest)
            rows += _count(block, delimiter.encode(), width, first=rows < 0)
        except _UncountableError:
            odd, rest = True, b""
    guessed = not valid
    found = guess_encoding(sorted(words)) if guessed else encoding
    if odd:
        rows = _count_exactly(path, found, delimiter, width, skip_space=skip_space)
    return Scan(sha256=digest.hexdigest(), encoding=found, guessed=guessed, rows=max(rows, 0))


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


def _count(block: bytes, delimiter: bytes, width: int, *, first: bool) -> int:
    """How many records the block has; raises _OddError when one is not `width` fields wide."""
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
    if first:
        header = int(np.argmin(blank))
        wrong[header] = wrong[header] and widths[header] != width - 1
    if wrong.any():
        raise _UncountableError
    return int((~blank).sum())


def _inside_quotes(data: np.ndarray, delimiter: int) -> np.ndarray:
    """Which bytes are inside quotes; raises _OddError where a quote is not at a field's border."""
    import numpy as np

    quotes = data == QUOTE
    at = np.flatnonzero(quotes)
    border = np.zeros(256, dtype=bool)
    border[[QUOTE, LINE_FEED, RETURN, delimiter]] = True
    before = np.where(at[0::2] > 0, data[at[0::2] - 1], LINE_FEED)
    if len(at) % 2 or not border[before].all() or not border[data[at[1::2] + 1]].all():
        raise _UncountableError
    return np.logical_xor.accumulate(quotes)


def _count_exactly(
    path: Path, encoding: str, delimiter: str, width: int, *, skip_space: bool
) -> int:
    faults: list[str] = []
    rows, line, closed = -1, 1, False
    with path.open(encoding=encoding, newline="") as file:
        lines = itertools.chain(file, ["\n", END])
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=skip_space)
        try:
            for record in reader:
                closed = record == [END]
                if not closed and not is_blank(record):
                    rows += 1
                    if len(record) != width and (rows or len(record) != width - 1):
                        faults.append(
                            f"{path}:{line}: {len(record)} fields, the header has {width}"
                        )
                if len(faults) > MAX_FAULTS or (record and record[-1].endswith(END)):
                    break
                line = reader.line_num + 1
        except csv.Error as error:
            raise BadData(
                f"{path}:{line}: {error}", "look for a quote in this record that is never closed"
            ) from error
        except UnicodeDecodeError as error:
            raise _not_in_encoding(path, encoding, error) from error
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


def _not_in_encoding(path: Path, encoding: str, error: UnicodeDecodeError) -> BadData:
    return BadData(
        f"{path}: not {encoding}: {error.reason}",
        "give the right encoding with --encoding, and check that the file is a CSV",
    )
