"""Time, sleep, randomness, processes and signals: the one object through which a story touches them.

Tests pass their own; nothing else in this package sleeps, starts processes or draws at random.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any


@dataclass
class Interrupts:
    """How often Ctrl-C (or SIGTERM) has come in."""

    count: int = 0


@dataclass(frozen=True)
class Child:
    """A process of ours. ``exit_code()`` is negative when a signal ended it."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        return self.process.poll()


class World:
    """The real one."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def token(self) -> str:
        """Four random hexadecimal digits."""
        return secrets.token_hex(2)

    def state_folder(self) -> Path:
        """Where this user's state lies; it need not exist yet."""
        home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
        return base / "sft-launch"

    def python(self, module: str, *arguments: str) -> list[str]:
        """The command that runs one of our packages: installed ones only, never the user's folder."""
        return [sys.executable, "-P", "-u", "-m", module, *arguments]

    def start(self, command: Sequence[str], *, log: Path, lock: int) -> Child:
        """Start ``command`` in a session of its own, so that Ctrl-C does not reach it.

        Both output streams are appended to ``log``. The child inherits the descriptor ``lock``: the
        file stays locked for as long as the child, or a child of it, lives.
        """
        with log.open("ab") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        return Child(process)

    def run(
        self,
        command: Sequence[str],
        *,
        log: Path,
        line: Callable[[str], None],
    ) -> int:
        """Run ``command`` to its end and return its exit code.

        Each line of its stdout goes to ``line`` as it comes; stderr is appended to ``log``. When the
        caller leaves early, by Ctrl-C for instance, the process is ended too.
        """
        with (
            log.open("ab") as sink,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                encoding="utf-8",
                errors="replace",
            ) as process,
        ):
            try:
                assert process.stdout is not None
                for text in process.stdout:
                    line(text.rstrip("\n"))
                return process.wait()
            except BaseException:
                process.terminate()
                raise

    def signal(self, pid: int, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal; a process that is gone already is no error."""
        try:
            if group:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            pass

    @contextmanager
    def interrupts(self) -> Iterator[Interrupts]:
        """Inside, Ctrl-C and SIGTERM are counted instead of raised."""
        seen = Interrupts()

        def count(_number: int, _frame: FrameType | None) -> None:
            seen.count += 1

        before: dict[signal.Signals, Any] = {
            number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield seen
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
