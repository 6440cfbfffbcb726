"""The sandbox as its users see it: a set of tables, and episodes whose cells run apart from us."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Self

from datagen.sandbox import frames
from datagen.sandbox.connection import Server, ServerGoneError, Table
from datagen.sandbox.level import from_setting
from datagen.sandbox.messages import CellLimits, CellResult, Level, MalformedError, from_message
from datagen.sandbox.remote import RemoteServer
from datagen.sandbox.start_server import ServerProcess
from trainer.contract.command.errors import Fault

_ATTEMPTS = 2
_LOST = "the variables of earlier cells are gone"


class Sandbox:
    """Runs code over one set of tables, each episode in a fork of one warm server process.

    ``tables`` maps a name to a CSV, or to a CSV and its Reading, without which the server infers
    one; the first is ``df`` in a cell, all are ``tables[name]``.
    ``place`` is a setting that ``level.from_setting`` reads; None reads the environment. Elsewhere than
    at a service, ``level`` None takes the strongest isolation this machine gives and refuses "none"; a
    named level is applied exactly. Threads may open and use episodes at the same time.

    Raises on construction: NotFound, BadData, NotInstalled, SandboxUnsafe. A cell never raises.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        limits: CellLimits | None = None,
        level: Level | None = None,
        place: str | None = None,
    ) -> None:
        if not tables:
            raise ValueError("a sandbox needs at least one table")
        self._tables = dict(tables)
        self._limits = limits or CellLimits()
        where = from_setting(place)
        self._service = where.socket
        self._wanted = level or where.level
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._closed = False
        self._server: Server | None = None
        server = self._running()
        self._level: Level = server.level
        self._layers = server.layers

    @property
    def level(self) -> Level:
        """The isolation obtained: "full" (Landlock and seccomp), "reduced" or "none"."""
        return self._level

    @property
    def layers(self) -> tuple[str, ...]:
        """What was seen to hold in a child: rlimits, landlock, seccomp."""
        return self._layers

    @contextlib.contextmanager
    def episode(self, seed: int = 0) -> Iterator["Session"]:
        """Give a fresh session; its process is killed at the end. ``seed`` seeds random and numpy."""
        session = Session(self, self._limits, seed)
        try:
            yield session
        finally:
            session.close()

    def close(self) -> None:
        """End the server and every episode. Idempotent."""
        with self._lock:
            self._closed = True
            if self._server is not None:
                self._server.stop()
                self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, seed: int, *, scipy: bool) -> tuple[Server, int, socket.socket]:
        """Fork a child, over a new server where the old one is gone. Raises RuntimeError, Fault."""
        for left in reversed(range(_ATTEMPTS)):
            server = self._running()
            number = next(self._numbers)
            try:
                return server, number, server.open(number, seed, scipy=scipy)
            except ServerGoneError:
                self._discard(server)
            except RuntimeError:
                server.close(number)
                if not left:
                    raise
        raise RuntimeError("the sandbox server does not stay up")

    def _running(self) -> Server:
        with self._lock:
            if self._closed:
                raise RuntimeError("the sandbox is closed")
            if self._server is not None and not self._server.alive():
                self._server.stop()
                self._server = None
            setup = (self._tables, self._limits, self._wanted)
            if self._server is None and self._service is not None:
                self._server = RemoteServer(self._service, *setup)
            elif self._server is None:
                self._server = ServerProcess(*setup)
            return self._server

    def _discard(self, server: Server) -> None:
        with self._lock:
            server.stop()
            if self._server is server:
                self._server = None


class Session:
    """One episode: cells that share variables. Use from one thread at a time."""

    def __init__(self, sandbox: Sandbox, limits: CellLimits, seed: int) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._seed = seed
        self._spent = 0.0
        self._child: tuple[Server, int, socket.socket] | None = None

    def run(self, code: str) -> CellResult:
        """Run one cell and wait for it. Never raises for what the cell or its process does.

        After a cell that was stopped or died, the next one starts in a fresh process.
        """
        left = self._limits.episode_seconds - self._spent
        if left <= 0:
            return _failed(
                f"TimeoutError: the episode's {self._limits.episode_seconds:g} s are used up"
            )
        allowed = min(self._limits.cell_seconds, left)
        try:
            if self._child is None:
                self._child = self._sandbox.open(self._seed, scipy="scipy" in code)
        except (RuntimeError, Fault) as error:
            return _failed(f"SandboxError: {error}")
        channel = self._child[2]
        started = time.monotonic()
        try:
            deadline = started + allowed
            if frames.pending(channel.fileno()):
                raise MalformedError("there is an answer to a cell that was not sent")
            frames.write_frame(channel.fileno(), {"code": code}, deadline=deadline)
            message = frames.read_frame(channel.fileno(), deadline=deadline)
            return from_message(
                message, self._limits.output_chars, seconds=time.monotonic() - started
            )
        except TimeoutError:
            self.close()
            text = f"TimeoutError: the cell was stopped after {allowed:.3g} s; {_LOST}"
            return _failed(text, seconds=time.monotonic() - started, timed_out=True)
        except (frames.BrokenFrameError, MalformedError):
            self.close()
            text = f"SandboxError: the cell's process died; {_LOST}"
            return _failed(text, seconds=time.monotonic() - started)
        finally:
            self._spent += time.monotonic() - started

    def close(self) -> None:
        """Kill the episode's process. Idempotent."""
        if self._child is not None:
            server, number, channel = self._child
            self._child = None
            server.close(number)
            channel.close()


def _failed(text: str, *, seconds: float = 0.0, timed_out: bool = False) -> CellResult:
    return CellResult(ok=False, stderr=text, seconds=seconds, timed_out=timed_out)
