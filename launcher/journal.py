"""The journal of a run: what was about to be done to the outside, and what came of it.

Append-only, a JSON object a line, on disk before the call returns. A torn last line, which a crash
may leave, is ignored by readers and cut by the next writer. Appending needs the run's lock.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from launcher.world import World

VERSION = 1
Stage = Literal["intent", "done", "failed", "fact"]


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
        _cut_torn_line(path)
        self.entries = read(path)

    def fact(self, what: str, **facts: Any) -> None:
        """Record something that simply is so."""
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
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)


def of_this_run(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Those from the newest ``created`` on: what came before it was overwritten."""
    created = [at for at, entry in enumerate(entries) if entry.what == "created"]
    return entries[created[-1] :] if created else entries


def read(path: Path) -> list[Entry]:
    """Return the whole lines; none when there is no journal. Lines that are no entries are skipped."""
    try:
        block = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    entries = []
    for line in block[: block.rfind(b"\n") + 1].splitlines():
        try:
            found = json.loads(line)
            entry = Entry(**found)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(found.get("facts", {}), dict) and isinstance(found["time"], int | float):
            entries.append(entry)
    return entries


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        block = file.read()
        file.truncate(block.rfind(b"\n") + 1)
