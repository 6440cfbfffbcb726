"""What launcher and trainer read of an episode file: its tables, their paths, and its questions.

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
"""The files of an evaluation in a run folder."""
_HEX = re.compile(r"[0-9a-f]{64}")
HINT = "make the episodes again with: datagen episodes"


def tables_of(path: Path) -> dict[str, str]:
    """Return the tables that an episode file names: path → SHA-256, each path once.

    Raises ``NotFound``, or ``BadData``, which names each line without a valid table.
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
                faults.append(f"{path}:{number}: {name!r} is not a path relative to {path.parent}")
            elif not _HEX.fullmatch(sha256):
                faults.append(f"{path}:{number}: {name}: {sha256!r} is not a SHA-256: {HINT}")
            elif found.setdefault(name, sha256) != sha256:
                faults.append(f"{path}:{number}: {name} has two different SHA-256: {HINT}")
    if not lines:
        faults.append(f"{path}: has no episode: {HINT}")
    if faults:
        raise BadData(f"{path} cannot be used for an evaluation", HINT, faults=faults)
    return found


def questions(path: Path) -> int:
    """Return the number of distinct questions of an episode file. Raises as ``tables_of``."""
    tables_of(path)
    return len({_question(line) for line in path.read_bytes().splitlines()})


def shared(one: Path, other: Path) -> list[str]:
    """Return the ids of the questions of ``one`` that are also in ``other``: the same id, or the same text and
    tables. Raises as ``tables_of``.
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
    """The keys of a line's question: its id, and its text with the hashes of its tables."""
    known: list[object] = [_question(line)]
    question = json.loads(line).get("question")
    if isinstance(question, dict) and "text" in question:
        tables = sorted(str(table["sha256"]) for table in _tables(line))
        known.append((str(question["text"]), *tables))
    return known


def _question(line: bytes) -> object:
    """The id of a line's question, else the line itself."""
    question = json.loads(line).get("question")
    return str(question["id"]) if isinstance(question, dict) and "id" in question else line


def _tables(line: bytes) -> list[dict[str, Any]]:
    tables = json.loads(line)["tables"]
    if not isinstance(tables, list) or not tables:
        raise ValueError
    return tables


def check(path: Path) -> dict[str, Path]:
    """Return the tables that an episode file names as SHA-256 → file, each with that content.

    Raises ``BadData``, which names each missing or changed table; else as ``tables_of``.
    """
    found: dict[str, Path] = {}
    faults: list[str] = []
    for name, sha256 in tables_of(path).items():
        table = path.parent / name
        if not table.is_file():
            faults.append(f"{path}: table {name} is missing: put it there, or {HINT}")
        elif (now := hash_file(table).sha256) != sha256:
            faults.append(
                f"{path}: table {name} has changed (SHA-256 {sha256[:12]}... then, "
                f"{now[:12]}... now): restore the old one, or {HINT}"
            )
        else:
            found[sha256] = table
    if faults:
        raise BadData(f"{path} cannot be used for an evaluation", HINT, faults=faults)
    return found


def lay_out(path: Path, folder: Path, table: Callable[[str], Path]) -> Path:
    """Copy an episode file into a new ``folder``, with its tables at the paths it names; return the copy.

    ``table`` returns the file with a SHA-256. Raises ``OSError``; else as ``tables_of``.
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
