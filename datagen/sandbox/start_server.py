"""Starts and ends one server process on this machine."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from datagen.sandbox import frames
from datagen.sandbox.connection import Server, Table, fault_of
from datagen.sandbox.messages import CellLimits, Level

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
    # Otherwise Arrow's allocator starts a second thread, and a process that forks needs a single one.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


class ServerProcess(Server):
    """A server process on this machine, in its own session."""

    def __init__(
        self, tables: Mapping[str, Table], limits: CellLimits, level: Level | None
    ) -> None:
        """Start a server and wait until its tables are read.

        Raises NotFound and BadData (a table cannot be read), NotInstalled, SandboxUnsafe.
        """
        control, theirs = socket.socketpair()
        super().__init__(control)
        # The folder it starts in is removed at once: nothing can be created there.
        with theirs, tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "datagen.sandbox", str(theirs.fileno())],
                env=_environment(),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()
            try:
                self.set_up(tables, limits, level)
            except (frames.BrokenFrameError, TimeoutError):
                self.stop()
                raise _failure_from_log(log) from None
            except BaseException:
                self.stop()
                raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.alive():
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with self._lock:
            self._control.close()


def serve_clean(argv: Sequence[str]) -> NoReturn:
    """Become a service whose environment, which every cell can see, has no key of the user's."""
    command = [sys.executable, "-P", "-m", "datagen.sandbox", "serve-here", *argv]
    os.execve(sys.executable, command, _environment())  # noqa: S606


def _failure_from_log(log: IO[bytes]) -> Exception:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines()
    reason = lines[-1] if lines else "it ended without a message"
    return fault_of(reason.partition(":")[0], reason, "")


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    environment = {**_ENVIRONMENT, "PYTHONPATH": root}
    if "LD_LIBRARY_PATH" in os.environ:  # some Pythons do not start without it
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
