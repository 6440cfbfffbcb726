"""A process that this one started: how to end it, and how to read the events that it writes to a pipe."""

import contextlib
import os
import signal
import subprocess

PIPE_BYTES = 1 << 20
END_SECONDS = 10.0  # that a killed process may take


class Child:
    """A started process in its own session; ``pipe`` is the reading end of its events, not blocking."""

    def __init__(self, process: "subprocess.Popen[bytes]", pipe: int | None) -> None:
        self._process = process
        self.pipe = pipe
        self._rest = b""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and every process of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def lines(self) -> list[bytes]:
        """Return the whole lines that came over the pipe since the last call, without waiting."""
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
