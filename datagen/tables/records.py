"""The records of a CSV by its Reading, as texts, read with the csv module; and the file that pandas reads."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from datagen.episode import Reading


def open_text(path: Path, reading: Reading) -> TextIO:
    """The file as text, from the first line that is not skipped."""
    file = path.open(encoding=reading.encoding, errors=reading.errors, newline="")
    for _ in range(reading.skip_lines):
        file.readline()
    return file


def is_blank(record: list[str]) -> bool:
    """Whether a record is a line that readers pass over: nothing on it, or only blanks."""
    return not record or (len(record) == 1 and bool(record[0]) and not record[0].strip())


def records(path: Path, reading: Reading, *, header: bool = False) -> Iterator[list[str]]:
    """The records below the header; with `header`, it comes first."""
    with open_text(path, reading) as file:
        lines = csv.reader(file, delimiter=reading.delimiter, skipinitialspace=reading.skip_space)
        found = (record for record in lines if not is_blank(record))
        yield from islice(found, int(reading.header and not header), None)
