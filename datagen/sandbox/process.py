"""Starts, asks and ends one server process. The only file of the sandbox that starts a program."""

import contextlib
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from datagen.episode import Reading
from datagen.sandbox import wire
from datagen.sandbox.result import LEVELS, Level, Limits
from trainer.contract.errors import BadData, Fault, NotFound, NotInstalled, SandboxUnsafe

Table = Path | tuple[Path, Reading]
START_SECONDS = 600.0
REQUEST_SECONDS = 20.0

# The whole environment of the server: no key of the user's gets in.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # Arrow's allocator starts a thread of its own otherwise, and forks want a single one.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

# What the reader of tables raises in the server, raised again here.
_TABLE_FAULTS: dict[str, type[Fault]] = {"BadData": BadData, "NotFound": NotFound}


class ServerGoneError(Exception):
    """The server process ended or stopped answering; another one is needed."""


class ServerProcess:
    """One running server. ``level`` is what its children were seen to be denied."""

    def __init__(self, tables: Mapping[str, Table], limits: Limits, level: Level | None) -> None:
        """Start a server and wait until its tables are read.

        Raises NotFound and BadData (a table cannot be read), NotInstalled, SandboxUnsafe.
        """
        self._lock = threading.Lock()
        self._scratch = tempfile.mkdtemp(prefix="sandbox-")
        self._control, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "datagen.sandbox", str(theirs.fileno())],
                env=_environment(),
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()
            setup = {
                "tables": {name: _where(table) for name, table in tables.items()},
                "level": level,
                "memory_bytes": limits.memory_bytes,
                "cpu_seconds": math.ceil(limits.episode_seconds) + 1,
                "output_chars": limits.output_chars,
            }
            try:
                self.level = self._greet(setup, log)
                _check_level(wanted=level, obtained=self.level)
            except BaseException:
                self.stop()
                raise
        self._control.setblocking(False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def open(self, number: int, seed: int) -> socket.socket:
        """Fork a child for episode ``number`` and return our end of its channel.

        Raises ServerGoneError, or RuntimeError when the server is well and the child is not.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs, self._lock:
                request = {"open": number, "seed": seed}
                wire.write_frame_with_fd(self._control, request, theirs.fileno())
        except (wire.BrokenWireError, OSError) as error:
            ours.close()
            raise ServerGoneError(str(error)) from None
        try:
            greeting = wire.read_frame(ours.fileno(), deadline=time.monotonic() + REQUEST_SECONDS)
        except wire.BrokenWireError:
            greeting = {"error": "the episode's process died before its first cell"}
            if self._ends_soon():
                greeting = None
        except TimeoutError:
            greeting = None
        if greeting == {"ready": True}:
            return ours
        ours.close()
        if greeting is None:
            raise ServerGoneError("the server ended or does not answer")
        raise RuntimeError(str(greeting["error"]))

    def close(self, number: int) -> None:
        """Have the child of episode ``number`` killed; nothing happens where it is gone already."""
        with self._lock, contextlib.suppress(wire.BrokenWireError, TimeoutError, OSError):
            deadline = time.monotonic() + REQUEST_SECONDS
            wire.write_frame(self._control.fileno(), {"close": number}, deadline=deadline)

    def stop(self) -> None:
        """Kill the server with all its children and remove what it had on disk. Idempotent."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.alive():
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with self._lock:
            self._control.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _ends_soon(self) -> bool:
        """Tell a dead server from a dead child: its sockets close a moment before it can be waited for."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.5)
        return not self.alive()

    def _greet(self, setup: Mapping[str, object], log: IO[bytes]) -> Level:
        deadline = time.monotonic() + START_SECONDS
        fd = self._control.fileno()
        try:
            wire.write_frame(fd, setup, deadline=deadline)
            greeting = wire.read_frame(fd, deadline=deadline)
        except (wire.BrokenWireError, TimeoutError):
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            reason = lines[-1] if lines else "it ended without a word"
            greeting = {"kind": reason.partition(":")[0], "cause": reason, "hint": ""}
        if "level" not in greeting:
            _raise_fault(greeting["kind"], greeting["cause"], greeting["hint"])
        return next(level for level in LEVELS if level == greeting["level"])


def _where(table: Table) -> dict[str, object]:
    path, reading = table if isinstance(table, tuple) else (table, None)
    return {"path": str(path.resolve()), "reading": reading and reading.model_dump()}


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    environment = {**_ENVIRONMENT, "PYTHONPATH": root}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons do not start without it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment


def _raise_fault(kind: str, cause: str, hint: str) -> None:
    if kind == "ModuleNotFoundError":
        raise NotInstalled(
            f"the sandbox cannot start: {cause}", "install it with: pip install '.[datagen]'"
        )
    if kind in _TABLE_FAULTS:
        raise _TABLE_FAULTS[kind](cause, hint)
    raise BadData(f"the sandbox cannot read its tables: {cause}", hint or "look at the file")


def _check_level(*, wanted: Level | None, obtained: Level) -> None:
    if wanted is None and obtained == "none":
        raise SandboxUnsafe(
            "this machine gives the sandbox no isolation at all",
            "use Linux or Docker, or ask for level none where every model is trusted",
        )
    if wanted is not None and obtained != wanted:
        raise SandboxUnsafe(
            f"the sandbox reaches level {obtained} here, not {wanted}",
            "use a kernel with Landlock and seccomp, or accept the lower level",
        )
