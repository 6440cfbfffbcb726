"""Rows of chat, as files hold them: JSONL in, plain messages out, every fault of a file in one pass.

Accepted: ``messages`` as OpenAI writes them, TRL's ``prompt`` + ``completion``, and ``from``/``value``
lists. What comes out has one shape: role (system, user, assistant, tool), text content, and where given
``tool_calls`` (arguments as objects), ``weight`` on assistant turns, ``tool_call_id``, ``name``,
``reasoning_content``.
"""

import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainer.contract.command.errors import BadData, NotFound
from trainer.contract.messages import RowFault, read_row

LARGEST_ROW = 16 * 1024 * 1024  # bytes; far above what any context holds
BOM = b"\xef\xbb\xbf"
SKIP_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One chat. ``line`` counts from 1 in the file it came from."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    line: int


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a file, and the SHA-256 of its bytes."""

    rows: list[Row]
    sha256: str


def read_rows(path: Path) -> Rows:
    """Read a JSONL file of chats.

    Raises ``NotFound`` when there is none, ``BadData`` with a line ``file:line: what: what to do`` for
    every fault in it. Never waits on a pipe or a device.
    """
    rows: list[Row] = []
    faults: list[str] = []
    digest = hashlib.sha256()
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
                messages, tools = read_row(_parse(line))
                if not faults:
                    rows.append(Row(messages, tools, number))
            except RowFault as fault:
                faults += [f"{path}:{number}: {text}" for text in fault.lines]
    if faults:
        count = f"{len(faults)} fault" + ("s" if len(faults) > 1 else "")
        raise BadData(f"{path} cannot be trained on: {count}", "correct the rows", faults=faults)
    if not rows:
        raise BadData(f"{path}:1: the file is empty", "write one chat per line")
    return Rows(rows, digest.hexdigest())


def _open(path: Path) -> IO[bytes]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadData(f"{path} is a folder", "name the .jsonl file in it")
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
        if number == 1:
            line = line.removeprefix(BOM)
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
        raise RowFault(f"the key {twice!r} stands twice in one object", "keep one of them")
    return found


def _constant(name: str) -> object:
    raise RowFault(f"{name} is not JSON", "write a number or null")


def _has_lone_surrogate(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
