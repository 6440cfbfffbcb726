"""A process that was started: what its starter asks of it, and reads from its pipe of events."""

import contextlib
import os
import signal
import subprocess
from typing import Protocol

PIPE_BYTES = 1 << 20
TO_END = 10.0  # seconds that a killed process may take


class Child(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; ``None`` while it runs."""

    def ask(self) -> None:
        """Ask it to end (SIGTERM)."""

    def kill(self) -> None:
        """End it, and all it has started."""

    def lines(self) -> list[bytes]:
        """Return what came over the events' pipe since the last call, whole lines, without waiting."""


class Process:
    """A ``Child`` of the real world, in a session of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", pipe: int | None) -> None:
        self._process = process
        self.pipe = pipe
        self._rest = b""

    def poll(self) -> int | None:
        return self._process.poll()

    def ask(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(TO_END)

    def lines(self) -> list[bytes]:
        while self.pipe is not None:
            try:
                block = os.read(self.pipe, PIPE_BYTES)
            except BlockingIOError:
                break
            if not block:
                os.close(self.pipe)
                self.pipe = None
            self._rest += block
        *whole, self._rest = self._rest.split(b"\n")
        return whole
