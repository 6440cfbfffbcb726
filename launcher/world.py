"""Time, sleep, randomness, processes, the API and SSH: the one object through which a story touches them.

Tests pass their own; nothing else in this package sleeps, starts processes or draws at random.
"""

import os
import random
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from trainer.contract.command.errors import Fault

if TYPE_CHECKING:
    from launcher.runpod_api import Api
    from launcher.ssh import Session

SLICE = 1.0  # seconds after which a sleep looks whether it should end
SILENCE = 10.0  # seconds without a line while something is waited for
LONG = 120.0  # seconds of a wait from which a line a minute is enough
LONG_SILENCE = 60.0


def fault_kind(exit_code: int) -> type[Fault]:
    """The kind of fault for which a command of this project ends with ``exit_code``."""
    kinds = {kind.exit_code: kind for kind in Fault.__subclasses__()}
    return kinds.get(exit_code, Fault)


@dataclass
class Interrupts:
    """How often Ctrl-C (or SIGTERM) has come in."""

    count: int = 0


@dataclass(frozen=True)
class Child:
    """A child process. ``exit_code()`` is negative when a signal ended it."""

    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        return self.process.poll()


PLAIN = (
    *("PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR", "XDG_*", "PYTHON*", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "DYLD_*", "SSL_CERT_*", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a program needs to run and to reach the network; no secrets but a proxy's."""
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name.upper(), pattern) for pattern in PLAIN)
    }


@dataclass
class Wait:
    """Something outside that is waited for. ``until``: when that ends at the latest; ``cost``: in USD so far."""

    what: str
    begun: float
    until: float | None
    cost: Callable[[], float] | None
    maybe: str
    reported: float

    def text(self, now: float) -> str:
        end = self.until and f", until {datetime.fromtimestamp(self.until).astimezone():%H:%M:%S}"
        cost = self.cost and f", ${self.cost():.2f} so far"
        maybe = self.maybe and f" ({self.maybe})"
        return f"waiting for {self.what}: {now - self.begun:.0f} s{end or ''}{cost or ''}{maybe}"


class World:
    """The real one."""

    report: Callable[[str], None] = staticmethod(lambda _: None)
    """Where it is reported what is waited for; a view sets it."""

    @cached_property
    def _waits(self) -> list[Wait]:
        return []

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def sleep(self, seconds: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Sleep until ``seconds`` are over or ``stop`` is true; report every 10 s what is waited for."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0 and not stop():
            self.pause(min(left, SLICE))
            self.report_wait()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    @contextmanager
    def waiting(
        self,
        what: str,
        *,
        until: float | None = None,
        cost: Callable[[], float] | None = None,
        maybe: str = "",
    ) -> Iterator[Wait]:
        """Inside, each sleep reports what is waited for, from 10 s on; ``maybe``: what may be wrong."""
        now = self.now()
        wait = Wait(what, now, until, cost, maybe, now)
        self._waits.append(wait)
        try:
            yield wait
        finally:
            self._waits.remove(wait)

    def report_wait(self) -> None:
        """Report what is waited for, unless that was done a moment ago."""
        if not self._waits:
            return
        wait, now = self._waits[-1], self.now()
        if now - wait.reported >= (SILENCE if now - wait.begun < LONG else LONG_SILENCE):
            wait.reported = now
            self.report(wait.text(now))

    def token(self) -> str:
        """Four random hexadecimal digits."""
        return secrets.token_hex(2)

    def draw(self) -> float:
        """A random number, 0 <= x < 1."""
        return random.random()

    def variable(self, name: str) -> str:
        """An environment variable; empty when it is not set."""
        return os.environ.get(name, "")

    def home(self) -> Path:
        return Path.home()

    def state_folder(self) -> Path:
        """Where this user's state lies; it need not exist yet."""
        home = self.variable("XDG_STATE_HOME")
        base = Path(home) if Path(home).is_absolute() else self.home() / ".local" / "state"
        return base / "sft-launch"

    def config_folder(self) -> Path:
        """Where this user's settings lie; it need not exist."""
        from trainer.contract.command.settings import config_folder

        return config_folder(self.variable, self.home())

    def cache_folder(self) -> Path:
        """Where this project keeps what it can fetch again; it need not exist yet."""
        base = Path(self.variable("XDG_CACHE_HOME") or self.home() / ".cache")
        return (base / "sft-launch").absolute()

    def hub_folder(self) -> Path:
        """Where Hugging Face's libraries keep weights and token; it need not exist yet."""
        cache = Path(self.variable("XDG_CACHE_HOME") or self.home() / ".cache")
        return Path(self.variable("HF_HOME") or cache / "huggingface").absolute()

    def is_there(self, stop_file: Path) -> bool:
        """Whether another process has created ``stop_file``; called at every tick."""
        return stop_file.exists()

    def docker(self) -> Any:
        """The local Docker engine; see ``launcher.docker_engine.connect``."""
        from launcher.docker_engine import connect
        from launcher.docker_engine.config import Logins

        return connect(Logins.read(self.variable, self.home()))

    def api(self, key: str) -> "Api":
        """RunPod with ``key``, or what stands in its place."""
        from launcher.runpod_api import BASE_URL, BASE_URL_VARIABLE, Api

        url = self.variable(BASE_URL_VARIABLE) or BASE_URL
        return Api(key, url, now=self.now, sleep=self.sleep, draw=self.draw, waiting=self.waiting)

    def connect(
        self,
        host: str,
        port: int,
        *,
        user: str,
        key: Path,
        host_key: str,
        stop: Callable[[], bool] = lambda: False,
    ) -> "Session":
        """See ``launcher.ssh.connect``."""
        from launcher.ssh import connect

        return connect(host, port, user=user, key=key, host_key=host_key, stop=stop)

    def python(self, module: str, *arguments: str) -> list[str]:
        """The command that runs a package of this project; modules in the user's folder are not imported."""
        return [sys.executable, "-P", "-u", "-m", module, *arguments]

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        lock: int,
        variables: Mapping[str, str] | None = None,
    ) -> Child:
        """Start ``command`` in a new session, so that Ctrl-C does not reach it.

        Both output streams are appended to ``log``. The child inherits the descriptor ``lock``: the
        file stays locked for as long as the child, or a child of it, lives. With ``variables`` its
        environment is those and what it takes to run and to reach the network, so no other secret.
        """
        with log.open("ab") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
                env=None if variables is None else {**plain(os.environ), **variables},
            )
        return Child(process)

    def answer(self, command: Sequence[str]) -> str | None:
        """What ``command`` prints; None where it is not there, fails, or takes longer than 10 s."""
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode(errors="replace")

    def finish(self, command: Sequence[str], *, quiet: bool = False) -> None:
        """Run ``command`` on the user's terminal to its end; ``quiet`` drops what it prints.

        Its messages on stderr are always shown. Raises the fault that its exit code stands for.
        """
        stdout = subprocess.DEVNULL if quiet else None
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, check=False)
        if done.returncode:
            shown = shlex.join(command[command.index("-m") + 1 :] if "-m" in command else command)
            raise fault_kind(done.returncode)(
                f"this step failed with exit code {done.returncode}: {shown}",
                "see its message above",
            )

    def become(self, command: Sequence[str]) -> NoReturn:
        """Replace this process by ``command``: signals and exit code are then the command's."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(command[0], list(command))  # noqa: S606 - no shell is wanted

    def run_in_foreground(self, command: Sequence[str]) -> int:
        """Run ``command`` on the user's terminal; return its exit code.

        The command prints its own errors.
        """
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode

    def signal(self, pid: int, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal; a missing process is ignored."""
        try:
            if group:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            pass

    @contextmanager
    def interrupts(self, seen: Interrupts) -> Iterator[None]:
        """Inside, Ctrl-C and SIGTERM are counted in ``seen`` instead of raised."""

        def count(_number: int, _frame: FrameType | None) -> None:
            seen.count += 1

        before: dict[signal.Signals, Any] = {
            number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
