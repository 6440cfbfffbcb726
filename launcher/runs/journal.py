"""The journal of a run: each effect on the outside, noted before it starts and after it ends.

Append-only, a JSON object a line, on disk before the call returns. A torn last line, which a crash
may leave, is ignored by readers and cut by the next writer. Appending needs the run's lock.

Every command refuses a journal with an invalid line: that line may be the one that names a pod.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from launcher.errors import BrokenJournal
from launcher.world import World
from trainer.contract.command.crash_safe_files import append, cut_torn_line

VERSION = 1
Stage = Literal["intent", "done", "failed", "fact"]
LATEST = 1e11  # unix seconds: what a calendar can still show
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Kind = Literal[
    "text", "text or null", "number", "whole number", "process id or null", "run id", "object"
]
# What is read back of an entry's facts: of which kind each is, and which must be there.
FACTS: dict[str, Kind] = {
    "cause": "text",
    "charged": "number",
    "data_sha256": "text or null",
    "finish_by": "number",
    "gone_by": "number",
    "gpu": "text",
    "id": "run id",
    "image": "text",
    "job": "object",
    "model": "text",
    "model_sha256": "text or null",
    "most": "number",
    "name": "text",
    "offset": "whole number",
    "pid": "process id or null",
    "pod": "text or null",
    "rate": "number",
    "reason": "text",
    "settings": "object",
    "state": "text",
    "where": "text",
}
NEEDED: dict[tuple[str, Stage], tuple[str, ...]] = {
    ("created", "fact"): ("id", "where"),
    ("rent", "intent"): ("name", "gpu", "rate", "finish_by", "gone_by"),
    ("found", "fact"): ("pod",),
    ("rate", "fact"): ("rate", "gone_by", "finish_by"),
    ("bill", "fact"): ("pod", "charged"),
    ("start", "intent"): ("offset",),
    ("image", "done"): ("image",),
    ("guard", "fact"): ("pid",),
}


@dataclass(frozen=True)
class Entry:
    """One line. ``intent`` comes before an outside effect, ``done`` or ``failed`` after it."""

    what: str
    stage: Stage
    time: float
    facts: dict[str, Any] = field(default_factory=dict)
    v: int = VERSION


class Journal:
    """Appends to ``path`` and remembers every entry of it."""

    def __init__(self, path: Path, *, world: World) -> None:
        self._path = path
        self._world = world
        if path.exists():
            with path.open("rb+", buffering=0) as file:
                cut_torn_line(file)
        self.entries = read(path)

    def fact(self, what: str, **facts: Any) -> None:
        """Record a fact, which has no outcome to wait for."""
        self._append(what, "fact", facts)

    @contextmanager
    def effect(self, what: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Record the intent, then the outcome of the block; it may add facts to what it is given."""
        self._append(what, "intent", facts)
        outcome: dict[str, Any] = {}
        try:
            yield outcome
        except BaseException as error:
            self._append(what, "failed", {"cause": str(error) or type(error).__name__})
            raise
        self._append(what, "done", outcome)

    def _append(self, what: str, stage: Stage, facts: dict[str, Any]) -> None:
        entry = Entry(what, stage, round(self._world.now(), 3), facts)
        with self._path.open("ab", buffering=0) as file:
            append(file, json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
        self.entries.append(entry)


def read(path: Path) -> list[Entry]:
    """Return the whole lines; none when there is no journal.

    Raises ``BrokenJournal`` naming the first line that is not as a launcher wrote it.
    """
    entries: list[Entry] = []
    for number, found in enumerate(_lines(path), 1):
        if isinstance(found, str):
            raise BrokenJournal(
                f"{path}:{number}: {found}",
                "restore the line; if it is lost, delete the whole line, then check with launch reap that "
                "no pod of the run is left",
            )
        entries.append(found)
    return entries


def salvage(path: Path) -> list[Entry]:
    """The entries of the readable lines, for a caller that must act even on a broken journal."""
    try:
        return [found for found in _lines(path) if isinstance(found, Entry)]
    except BrokenJournal:
        return []


def _lines(path: Path) -> Iterator[Entry | str]:
    """The entry of each whole line, or what is wrong with it."""
    try:
        block = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise BrokenJournal(
            f"{path}: {error.strerror}", "make the file readable for your user"
        ) from None
    for line in block[: block.rfind(b"\n") + 1].split(b"\n")[:-1]:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            yield "invalid JSON"
        else:
            yield _wrong(found) or Entry(
                found["what"], found["stage"], float(found["time"]), found.get("facts", {})
            )


def _wrong(found: Any) -> str:
    """What is wrong with a line's value; empty when nothing is."""
    if not isinstance(found, dict):
        return "not a JSON object"
    if (version := found.get("v", VERSION)) != VERSION:
        return f"version {version}, but this launch reads version {VERSION}: install a newer one"
    what: Any = found.get("what")
    stage: Any = found.get("stage")
    facts = found.get("facts", {})
    if not _is(what, "text"):
        return "'what' is not text"
    if stage not in get_args(Stage):
        return f"'stage' is not one of {', '.join(get_args(Stage))}"
    if not _is(found.get("time"), "number"):
        return "'time' is not a time in seconds"
    if not isinstance(facts, dict):
        return "'facts' is not a JSON object"
    for name in NEEDED.get((what, stage), ()):
        if facts.get(name) is None:
            return f"{what!r} needs {name!r}"
    for name, kind in FACTS.items():
        if name in facts and not _is(facts[name], kind):
            return f"{name!r} must be {'an' if kind == 'object' else 'a'} {kind}"
    return ""


def _is(value: Any, kind: Kind) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "text" | "text or null":
            # A lone surrogate cannot be shown or sent.
            return (value is None and kind != "text") or (
                isinstance(value, str) and value.encode(errors="replace").decode() == value
            )
        case "number":
            return number and 0 <= value < LATEST
        case "whole number":
            return number and isinstance(value, int) and value >= 0
        case "process id or null":
            # 0, 1 and what is negative would be signals to many.
            return value is None or (number and isinstance(value, int) and value > 1)
        case "run id":
            return isinstance(value, str) and RUN_ID.fullmatch(value) is not None
        case "object":
            return isinstance(value, dict)
