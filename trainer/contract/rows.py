"""Rows of chat in a JSONL file, read as plain messages, with every fault of the file in one pass.

``trainer.contract.row_keys`` lists the accepted formats (docs/rows.md shows one row of each). The result has one
shape: role (system, user, assistant, tool), text content, and where given ``tool_calls`` (arguments as objects),
``weight`` on assistant turns, ``tool_call_id``, ``name``, ``reasoning_content``.
"""

import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from trainer.contract.command.errors import BadData, NotFound
from trainer.contract.data_faults import Faults, quote
from trainer.contract.row_messages import RowFault
from trainer.contract.row_shapes import read_row

LARGEST_ROW = 16 * 1024 * 1024  # bytes; far above what any context holds
BOM = b"\xef\xbb\xbf"
SKIP_BLOCK = 1024 * 1024
TABLES = (".csv", ".tsv")
AS_LINES = (
    'python -c "import pandas; '
    "pandas.read_parquet('{path}').to_json('rows.jsonl', orient='records', lines=True)\""
)
# First bytes of files that are not text in UTF-8: what such a file is, and what to do.
BINARY = {
    b"\xff\xfe": ("is UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("is UTF-16", "save it as UTF-8"),
    b"\x1f\x8b": ("is compressed", "unpack it: gunzip {path}"),
    b"PK": (
        "is a workbook or an archive",
        "save a workbook as CSV, then: datagen episodes FILE.csv",
    ),
    b"PAR1": ("is a Parquet file", f"write JSON lines: {AS_LINES}"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One chat. ``line`` counts from 1 in the file it came from.

    ``template`` are arguments of the chat template for this row. ``episode``: datagen exported it, so every user
    message after the first is output of code.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    line: int
    template: dict[str, Any] = field(default_factory=dict)
    episode: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a file, the SHA-256 of its bytes, and warnings about it, one line a cause."""

    rows: list[Row]
    sha256: str
    notes: tuple[str, ...] = ()


def read_rows(path: Path) -> Rows:
    """Read a JSONL file of chats.

    Raises ``NotFound`` if it does not exist, ``BadData`` with its faults in groups. Never waits on a pipe or a
    device.
    """
    rows: list[Row] = []
    faults, notes = Faults(path), Faults(path, "times")
    digest = hashlib.sha256()
    parsed = 0
    with _open(path) as file:
        for number, line in _lines(file, digest):
            try:
                if line is None:
                    raise RowFault(
                        f"the row is larger than {LARGEST_ROW // 2**20} MiB",
                        "no model reads that much; split or remove it",
                    )
                if number == 1 and line.lstrip().startswith(b"["):
                    raise BadData(
                        f"{path}:1: a JSON array, not JSON lines", "write one row per line"
                    )
                value = _parse(line)
                parsed += 1
                shape = read_row(value)
                for text in shape.notes:
                    notes.add(number, text, kind=text)
                if not faults:
                    rows.append(
                        Row(shape.messages, shape.tools, number, shape.template, shape.episode)
                    )
            except RowFault as fault:
                for text in fault.lines:
                    faults.add(number, text)
    if faults and not parsed:
        raise _not_rows(path, faults)
    if faults:
        raise faults.bad_data()
    if not rows:
        raise BadData(f"{path}:1: the file is empty", "write one chat per line")
    return Rows(rows, digest.hexdigest(), tuple(notes.grouped()))


def _not_rows(path: Path, faults: Faults) -> BadData:
    """One message for a file of which no line is JSON."""
    with path.open("rb") as file:
        first = file.readline(200)
    for start, (what, todo) in BINARY.items():
        if first.startswith(start):
            return BadData(f"{path} {what}, not JSON lines", todo.format(path=path))
    if len(faults) == 1 and path.suffix.lower() not in TABLES:
        return faults.bad_data()
    if path.suffix.lower() in TABLES:
        return BadData(
            f"{path} is a table, not rows of chat",
            f"make rows from it: datagen episodes {path}",
        )
    return BadData(
        f"{path} is not JSON lines: line 1 is {quote(first.decode('utf-8', 'replace').strip())}",
        "write one JSON object per line; docs/rows.md has examples",
        faults=faults.grouped()[:1],
        every=faults.every(),
    )


def _open(path: Path) -> IO[bytes]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadData(f"{path} is a folder", "give the .jsonl file in it")
        if not stat.S_ISREG(mode):
            raise BadData(f"{path} is not a regular file", "write the rows to a file first")
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "check the path of the data") from None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}", "check the file") from None


def _lines(file: IO[bytes], digest: "hashlib._Hash") -> Iterator[tuple[int, bytes | None]]:
    """Yield (number, line) of the lines that are not blank; ``None`` for one that is too large."""
    number = 0
    while line := file.readline(LARGEST_ROW + 1):
        number += 1
        digest.update(line)
        line = line.removeprefix(BOM)  # of each file, if several were joined
        if len(line) > LARGEST_ROW:
            while rest := (b"" if line.endswith(b"\n") else file.readline(SKIP_BLOCK)):
                digest.update(rest)
                line = rest
            yield number, None
        elif line.strip():
            yield number, line


def _parse(line: bytes) -> object:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise RowFault(
            f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})",
            "save the file as UTF-8",
        ) from None
    try:
        value: object = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise RowFault(
            f"not JSON: {error.msg} at column {error.colno}", "write one JSON object per line"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RowFault(f"not usable as JSON: {reason}", "correct the row") from None
    if "\\u" in text and _has_lone_surrogate(value):
        raise RowFault("half of a surrogate pair (\\ud800 to \\udfff)", "remove that character")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowFault(f"the key {quote(twice)} occurs twice in one object", "keep one of them")
    return found


def _constant(name: str) -> object:
    raise RowFault(f"{name} is not JSON", "write a number or null")


def _has_lone_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
