"""The user's machine: processes that run the real command line, and what can happen to them."""

import errno
import os
import shlex
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import httpx2

from launcher import world
from launcher.cli import main
from launcher.errors import ConnectionLost, HostKeyChanged
from launcher.pod import transfer
from launcher.runs import journal
from tests.chaos.clock import Actor, Clock, Killed
from tests.chaos.cloud import Cloud
from tests.chaos.pod import Session
from trainer.contract import events
from trainer.pod import event_log

KEY = "rpa_CANARY0123456789"
TOKEN = "hf_CANARY9876543210"


class Process:
    """One command of the user's, or a guard. ``wrote`` counts its journal lines."""

    def __init__(self, laptop: "Laptop", argv: list[str], state: str) -> None:
        self.laptop, self.argv, self.state = laptop, argv, state
        self.begun = laptop.clock.time
        self.out: list[str] = []
        self.code: int | None = None
        self.wrote = 0
        self.world = ChaosWorld(self)
        self.interrupts: list[world.Interrupts] = []
        self.fd: int | None = None
        self.actor: Actor = laptop.clock.spawn(shlex.join(argv), self._run, laptop=True)
        laptop.by_actor[self.actor] = self

    @property
    def text(self) -> str:
        return "".join(self.out)

    @property
    def over(self) -> bool:
        return self.actor.done

    def _run(self) -> None:
        try:
            self.code = main(self.argv)
        except SystemExit as end:
            self.code = int(end.code or 0)
        finally:
            if self.fd is not None:
                os.close(self.fd)


class Laptop:
    """``skew``: how far its clock is ahead. ``full``: its disk is. ``kill_at``: process number, line of
    its journal writes, and how far that one comes.
    """

    def __init__(self, clock: Clock, cloud: Cloud, folder: Path, rng: Random) -> None:
        self.clock, self.cloud, self.rng = clock, cloud, rng
        self.project, self.state = folder / "project", folder / "state"
        self.skew, self.full, self.jumped = 0.0, False, False
        self.grain = 1.0
        self.processes: list[Process] = []
        self.guards: list[Process] = []
        self.by_actor: dict[Actor, Process] = {}
        self.kill_at: list[tuple[int, str]] = []
        self.guard_lives = True
        self.cuts: list[tuple[float, float]] = []
        self.cut_bytes: list[int] = []
        self.stalls = 0
        self.slow = 0.0  # bytes a second of a slow link
        self.moved = 0

    @property
    def here(self) -> Process | None:
        return self.by_actor.get(self.clock.me)

    def run(self, *argv: str, state: str = "state") -> Process:
        process = Process(self, list(argv), state)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        self.clock.kill(process.actor)

    def wire(self, count: int) -> None:
        """Every byte between laptop and pod passes here."""
        self.moved += count
        if self.slow and count:
            self.clock.sleep(count / self.slow)
        if any(since <= self.clock.time < until for since, until in self.cuts):
            raise ConnectionLost("the link is cut")
        if self.cut_bytes and self.moved >= self.cut_bytes[0]:
            del self.cut_bytes[0]
            raise ConnectionLost("the link is cut")
        if self.stalls > 0:
            self.stalls -= 1
            self.clock.sleep(30.0)
            raise ConnectionLost("the SSH connection is silent")


class ChaosWorld(world.World):
    """The launcher's world, of one process."""

    def __init__(self, process: Process) -> None:
        self.process, self.laptop = process, process.laptop
        self.variables = {
            "RUNPOD_API_KEY": KEY,
            "HF_TOKEN": TOKEN,
            "RUNPOD_API_BASE_URL": "http://127.0.0.1:1",
            "XDG_STATE_HOME": str(self.laptop.state.with_name(process.state)),
        }

    def now(self):
        self.laptop.clock.me.check()
        return self.laptop.clock.time + self.laptop.skew

    def sleep(self, seconds, *, stop=None):
        self.laptop.clock.sleep(max(seconds, self.laptop.grain))

    def draw(self):
        return self.laptop.rng.random()

    def token(self):
        return f"{self.laptop.rng.randrange(1 << 16):04x}"

    def variable(self, name):
        return self.variables.get(name, "")

    def home(self):
        return self.laptop.state.with_name("home")

    def connect(self, host, port, *, user, key, host_key, stop=None):
        assert key.is_file()
        laptop, clock = self.laptop, self.laptop.clock
        clock.sleep(0.1)
        laptop.wire(0)
        for pod in laptop.cloud.pods.values():
            up = pod.status == "RUNNING" and pod.door_at is not None and clock.time >= pod.door_at
            if pod.port == port and pod.plan.how == "no ssh":
                clock.sleep(30.0)
                raise ConnectionLost(f"SSH to {host}:{port}: timed out")
            if pod.port == port and up:
                if clock.time < pod.foreign_until or host_key != pod.host_key:
                    raise HostKeyChanged(
                        "the host key differs from the one in the pod's log", "not ours"
                    )
                return Session(pod, laptop.wire)
        raise ConnectionLost("nobody answers")

    def start(self, command, *, log, lock, variables=None):
        guard = Process(self.laptop, command[command.index("launcher") + 1 :], self.process.state)
        guard.fd = os.dup(lock)
        self.laptop.guards.append(guard)
        if not self.laptop.guard_lives:
            self.laptop.kill(guard)
        return mock.Mock(pid=4242, exit_code=lambda: None)

    @contextmanager
    def interrupts(self, seen):
        self.process.interrupts.append(seen)
        yield
        self.process.interrupts.pop()


class Router:
    """Standard output of whichever process runs."""

    def __init__(self, laptop: Laptop) -> None:
        self.laptop = laptop

    def write(self, text):
        if (here := self.laptop.here) is not None:
            if self.laptop.full and here in self.laptop.guards:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            here.out.append(text)
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return False

    encoding = "utf-8"


class Lazily:
    """The downloads of ``transfer``, one after another: their order is the seed's, not the machine's."""

    def __init__(self, workers):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *arguments):
        return mock.Mock(result=lambda: work(*arguments))

    def shutdown(self, **_):
        pass


class Full:
    """A file on a disk that is full."""

    def __init__(self, file, name):
        self._file, self._name = file, name

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._name))


@contextmanager
def installed(laptop: Laptop) -> Any:
    """Inside, this process is that laptop."""
    real_append, real_open, real_client = journal.Journal._append, Path.open, httpx2.Client

    def append(self, what, stage, facts):
        process = laptop.here
        laptop.clock.me.check()
        assert process is not None
        if "guard" not in process.argv and laptop.kill_at and process in laptop.processes:
            process.wrote += 1
            line, how = laptop.kill_at[0]
            if process.wrote == line:
                del laptop.kill_at[0]
                if how != "before":
                    real_append(self, what, stage, facts)
                if how == "torn":
                    block = self._path.read_bytes()
                    self._path.write_bytes(block[:-7])
                laptop.clock.kill(process.actor)
                raise Killed
        real_append(self, what, stage, facts)

    def open_(self, mode="r", *arguments, **named):
        file = real_open(self, mode, *arguments, **named)
        process = laptop.here
        if laptop.full and process is not None and any(letter in mode for letter in "wa+x"):
            return Full(file, self)
        return file

    def client(**named):
        return real_client(**named, transport=httpx2.MockTransport(laptop.cloud.handle))

    def the_world():
        assert laptop.here is not None
        return laptop.here.world

    with ExitStack() as stack:
        for where, name, what in (
            (journal.Journal, "_append", append),
            (Path, "open", open_),
            (httpx2, "Client", client),
            (world, "World", the_world),
            (transfer, "ThreadPoolExecutor", Lazily),
            (events, "time", mock.Mock(time=lambda: laptop.clock.time)),
            (event_log, "RESERVE_BYTES", 4096),
            (sys, "stdout", Router(laptop)),
            (sys, "stderr", Router(laptop)),
        ):
            stack.enter_context(mock.patch.object(where, name, what))
        before = Path.cwd()
        os.chdir(laptop.project)
        stack.callback(os.chdir, before)
        yield
