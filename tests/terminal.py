"""A command on a pseudo-terminal, as a user types it."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.text = ""
        self._fd, inner = pty.openpty()
        # The new session's first open of the terminal makes it the controlling one, as a shell has it.
        own = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", own, *command],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def until(self, pattern: str, *, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} never came:\n{self.text}"
            if select.select([self._fd], [], [], left)[0] and not self._read():
                break
        assert re.search(pattern, self.text), self.text

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def ctrl_c(self) -> None:
        self.type("\x03")

    def wait(self) -> int:
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        try:
            block = os.read(self._fd, 65536)
        except OSError:
            return False
        self.text += block.decode(errors="replace")
        return bool(block)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)
