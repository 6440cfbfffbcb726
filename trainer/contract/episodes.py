"""Episodes as far as others than datagen read them: which tables a file is about, and where they lie.

An episode file is JSONL; each line's ``tables`` have a ``path``, relative to the folder of the file, and
the ``sha256`` of the table's bytes.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.contract.command.errors import BadData, NotFound
from trainer.contract.manifest import hash_file

COMPARISON = "comparison.json"
RESULTS = (COMPARISON, "evaluation")
"""What evaluating leaves in a run folder."""
_HEX = re.compile(r"[0-9a-f]{64}")
HINT = "make the episodes again with: datagen episodes"


def tables_of(path: Path) -> dict[str, str]:
    """Return the tables that an episode file names: path → SHA-256, each path once.

    Raises ``NotFound``, or ``BadData`` naming each line that names no table.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "check the path") from None
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror}", "check the file") from None
    found: dict[str, str] = {}
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            named = {
                os.path.normpath(str(table["path"])): str(table["sha256"])
                for table in _tables(line)
            }
        except (ValueError, KeyError, TypeError, RecursionError):
            faults.append(f"{path}:{number}: not an episode with its tables: {HINT}")
            continue
        for name, sha256 in named.items():
            if PurePosixPath(name).is_absolute() or name == ".":
                faults.append(f"{path}:{number}: {name!r} is no path relative to {path.parent}")
            elif not _HEX.fullmatch(sha256):
                faults.append(f"{path}:{number}: {name}: {sha256!r} is no SHA-256: {HINT}")
            elif found.setdefault(name, sha256) != sha256:
                faults.append(f"{path}:{number}: {name} has another SHA-256 than before: {HINT}")
    if not lines:
        faults.append(f"{path}: no episode in it: {HINT}")
    if faults:
        raise BadData(f"{path} cannot be evaluated on", HINT, faults=faults)
    return found


def questions(path: Path) -> int:
    """How many distinct questions an episode file asks at most. Raises as ``tables_of``."""
    tables_of(path)
    return len({_question(line) for line in path.read_bytes().splitlines()})


def shared(one: Path, other: Path) -> list[str]:
    """The ids of the questions of ``one`` that ``other`` asks too: the same id, or the same text of the
    same tables. Raises as ``tables_of``.
    """
    tables_of(one), tables_of(other)
    theirs = {key for line in other.read_bytes().splitlines() for key in _keys(line)}
    found: dict[object, None] = {}
    for line in one.read_bytes().splitlines():
        keys = _keys(line)
        if theirs.intersection(keys):
            found[keys[0]] = None
    return [str(key) for key in found]


def _keys(line: bytes) -> list[object]:
    """What a question is known by: its id, and its text with the content of its tables."""
    known: list[object] = [_question(line)]
    question = json.loads(line).get("question")
    if isinstance(question, dict) and "text" in question:
        tables = sorted(str(table["sha256"]) for table in _tables(line))
        known.append((str(question["text"]), *tables))
    return known


def _question(line: bytes) -> object:
    """What tells a line's question from others: its id, else the line itself."""
    question = json.loads(line).get("question")
    return str(question["id"]) if isinstance(question, dict) and "id" in question else line


def _tables(line: bytes) -> list[dict[str, Any]]:
    tables = json.loads(line)["tables"]
    if not isinstance(tables, list) or not tables:
        raise ValueError
    return tables


def check(path: Path) -> dict[str, Path]:
    """Return the tables that an episode file names as SHA-256 → file, each with that content.

    Raises ``BadData`` naming every table that is missing or has changed; else as ``tables_of``.
    """
    found: dict[str, Path] = {}
    faults: list[str] = []
    for name, sha256 in tables_of(path).items():
        table = path.parent / name
        if not table.is_file():
            faults.append(f"{path}: table {name} is not there: put it there, or {HINT}")
        elif (now := hash_file(table).sha256) != sha256:
            faults.append(
                f"{path}: table {name} has changed since (SHA-256 {sha256[:12]}... then, "
                f"{now[:12]}... now): put the old one back, or {HINT}"
            )
        else:
            found[sha256] = table
    if faults:
        raise BadData(f"{path} cannot be evaluated on", HINT, faults=faults)
    return found


def lay_out(path: Path, folder: Path, table: Callable[[str], Path]) -> Path:
    """Put an episode file into a new ``folder`` with its tables where it names them; return it there.

    ``table`` says where the content of a SHA-256 lies. Raises ``OSError``; else as ``tables_of``.
    """
    named = tables_of(path)
    shutil.rmtree(folder, ignore_errors=True)
    up = max(PurePosixPath(name).parts.count("..") for name in named)
    here = folder.joinpath(*["episodes"] * (up + 1))
    here.mkdir(parents=True)
    for name, sha256 in named.items():
        place = Path(os.path.normpath(here / name))
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(table(sha256), place)
    _link(path, here / "episodes.jsonl")
    return here / "episodes.jsonl"


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
