"""The run folder: its files, its locks, its ``run.json``; and the index of every run folder.

``run.json`` is derived from the journal and may be deleted at any time. Locks are the kernel's: they
end with the process that holds them, however it ends.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from launcher.runs.journal import RUN_ID, Journal, Stage, read, salvage
from launcher.runs.run_state import RunState
from launcher.world import World
from trainer.contract import manifest
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import Fault, Interrupted, Locked, NotFound, Usage

INDEX = "index.jsonl"
LOCK_TRIES = 5
LOCK_PAUSE = 0.02
LOG_TAIL = 8192  # bytes


@dataclass(frozen=True)
class Run:
    """A run folder. The folder is absolute; it need not exist any more."""

    id: str
    folder: Path

    @property
    def job(self) -> Path:
        return self.folder / "job.json"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def summary(self) -> Path:
        return self.folder / "run.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "train.log"

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter"

    @property
    def lock(self) -> Path:
        """Held by the launcher that may write the journal."""
        return self.folder / ".launcher.lock"

    @property
    def trainer_lock(self) -> Path:
        """Held by the trainer."""
        return self.folder / ".trainer.lock"

    @property
    def stop_request(self) -> Path:
        """Exists while ``launch stop`` waits for another launcher to release the lock."""
        return self.folder / ".stop"

    @property
    def stop_now_request(self) -> Path:
        """The same for ``launch stop --now``, to which a running ``launch stop`` reacts too."""
        return self.folder / ".stop-now"

    @property
    def log_tail(self) -> list[str]:
        """The last lines of the trainer's output that are not blank."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-8:]


def key_file(run: Run, world: World) -> Path:
    """Where the run's SSH key lies: in the user's state folder, until the pod is released."""
    return world.state_folder() / "keys" / run.id


def new_id(world: World) -> str:
    """Return an id such as 20261122-1304-ab3f: local time, then something random."""
    return f"{datetime.fromtimestamp(world.now()).astimezone():%Y%m%d-%H%M}-{world.token()}"


def check_id(name: str) -> str:
    """Return ``name`` when it can name a run and its folder; raise ``Usage`` otherwise."""
    if not RUN_ID.fullmatch(name):
        raise Usage(f"invalid run id {name!r}", "use characters, digits, dots, dashes")
    return name


@contextmanager
def lock(path: Path, *, world: World) -> Iterator[int]:
    """Hold the lock of the file at ``path``, inside; yield its descriptor.

    A child that inherits the descriptor keeps holding it. Raises ``BlockingIOError`` when someone
    else holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for attempt in range(LOCK_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # is_locked() of another process holds it for a moment only.
                if attempt == LOCK_TRIES - 1:
                    raise
                world.sleep(LOCK_PAUSE)
        yield fd
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Say whether a living process holds the lock of ``path``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


class Log(Journal):
    """The journal of a run that is held; ``state`` is what follows from it, run.json a copy of that."""

    def __init__(self, run: Run, *, world: World) -> None:
        super().__init__(run.journal, world=world)
        self.state = RunState(self.entries)
        self._summary = run.summary

    def note_end(self, fault: Fault, *, exit_code: int | None = None) -> None:
        """Journal how an attempt ended."""
        state = "interrupted" if isinstance(fault, Interrupted) else "failed"
        self.fact("ended", state=state, exit_code=exit_code, cause=fault.cause, hint=fault.hint)

    def _append(self, what: str, stage: Stage, facts: dict[str, Any]) -> None:
        super()._append(what, stage, facts)
        self.state.add(self.entries[-1])
        # Without fsync: the journal is on disk, and run.json follows from it.
        write_whole(self._summary, json.dumps(self.state.summary, indent=2) + "\n", fsync=False)


@contextmanager
def hold(run: Run, *, world: World) -> Iterator[Log]:
    """Hold the run's lock, inside; yield its journal. Raises ``Locked`` naming the holder.

    Clears the stop requests of processes that waited for the lock.
    """
    with ExitStack() as stack:
        try:
            fd = stack.enter_context(lock(run.lock, world=world))
        except BlockingIOError:
            pid = run.lock.read_text("utf-8", "replace").strip()
            raise Locked(
                f"another launch (process {pid}) is running in {run.folder}",
                f"follow it with: launch logs -f {run.id}",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        for stop_file in (run.stop_request, run.stop_now_request):
            stop_file.unlink(missing_ok=True)
        yield Log(run, world=world)


def add_to_index(run: Run, *, world: World) -> None:
    """Let ``launch ps`` find the run, wherever its folder lies."""
    folder = world.state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"v": 1, "id": run.id, "folder": str(run.folder)}, ensure_ascii=False)
    with (folder / INDEX).open("ab") as file:
        file.write(line.encode() + b"\n")


def index(*, world: World) -> list[Run]:
    """Every run of this user whose folder still exists, oldest first."""
    try:
        lines = (world.state_folder() / INDEX).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[Path, Run] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            run = Run(str(entry["id"]), Path(entry["folder"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        found.pop(run.folder, None)
        found[run.folder] = run
    return [run for run in found.values() if run.journal.is_file()]


def at(folder: Path) -> Run:
    """The run in ``folder``. Raises ``NotFound`` without a run, ``BrokenJournal`` when its id is lost."""
    folder = folder.absolute()
    path = folder / "journal.jsonl"
    created = [e for e in salvage(path) if e.what == "created"]
    if not created:
        read(path)
        raise NotFound(f"{folder} contains no run", "list the runs with: launch ps")
    return Run(str(created[-1].facts["id"]), folder)


def find(name: str, *, world: World) -> Run:
    """Find a run by folder, id, or the beginning of an id that only one has.

    Raises ``NotFound`` when no run matches, ``Usage`` when several do.
    """
    if os.sep in name or (Path(name) / "journal.jsonl").is_file():
        return at(Path(name))
    if (Path("runs") / name / "journal.jsonl").is_file():
        return at(Path("runs") / name)
    runs = index(world=world)
    matches = [run for run in runs if run.id == name] or [
        run for run in runs if run.id.startswith(name)
    ]
    if not matches:
        raise NotFound(f"unknown run {name!r}", "list the runs with: launch ps")
    if len(matches) > 1:
        raise Usage(
            f"{name!r} matches {len(matches)} runs",
            "give more characters of the id, or the folder",
            faults=[f"{run.id}  {run.folder}" for run in matches],
        )
    return matches[0]


def find_result(path: Path, *, world: World) -> Path:
    """Return the run folder with a result: ``path`` itself, or that of the run that ``find`` finds."""
    # A run of the trainer alone has no journal.
    whole = (path / manifest.NAME).is_file()
    return path if whole else find(str(path), world=world).folder
