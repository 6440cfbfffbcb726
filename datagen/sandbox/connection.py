"""The client's end of a server: requests episodes over its control socket, local or remote."""

import contextlib
import math
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datagen.episode import Reading
from datagen.missing_package import DATAGEN
from datagen.sandbox import frames
from datagen.sandbox.messages import LEVELS, CellLimits, Level
from trainer.contract.command.errors import BadData, Fault, NotFound, NotInstalled, SandboxUnsafe

Table = Path | tuple[Path, Reading]
START_SECONDS = 600.0
REQUEST_SECONDS = 20.0

# What the reader of tables and the service raise in the server, raised again here.
_FAULTS: dict[str, type[Fault]] = {
    "BadData": BadData,
    "NotFound": NotFound,
    "SandboxUnsafe": SandboxUnsafe,
}


class ServerGoneError(Exception):
    """The server ended or stopped answering; another one is needed."""


class Server(ABC):
    """A server that has read its tables. ``level`` is what its children were seen to be denied."""

    level: Level
    layers: tuple[str, ...]

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._control.setblocking(False)

    @abstractmethod
    def alive(self) -> bool:
        """Whether the server still answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it with all its children. Idempotent."""

    def set_up(self, tables: Mapping[str, Table], limits: CellLimits, level: Level | None) -> None:
        """Send the setup and wait until the server has read the tables.

        Raises NotFound and BadData (a table cannot be read), NotInstalled, SandboxUnsafe, and
        BrokenFrameError or TimeoutError when there is no answer.
        """
        setup = {
            "tables": {name: _table_message(table) for name, table in tables.items()},
            "level": level,
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": math.ceil(limits.episode_seconds) + 1,
            "output_chars": limits.output_chars,
        }
        deadline = time.monotonic() + START_SECONDS
        frames.write_frame(self._control.fileno(), setup, deadline=deadline)
        answer = frames.read_frame(self._control.fileno(), deadline=deadline)
        if "level" not in answer:
            raise fault_of(answer["kind"], answer["cause"], answer["hint"])
        self.level = next(known for known in LEVELS if known == answer["level"])
        self.layers = tuple(str(layer) for layer in answer["layers"])
        check_level(wanted=level, obtained=self.level)

    def open(self, number: int, seed: int, *, scipy: bool = False) -> socket.socket:
        """Our end of the channel to a fresh child, which is now episode ``number``.

        ``scipy`` announces that it will be imported, so that the server can do it once for all.
        Raises ServerGoneError, or RuntimeError when the server is well and the child is not.
        """
        channel = self._ask({"open": number, "scipy": scipy})
        try:
            deadline = time.monotonic() + REQUEST_SECONDS
            greeting = frames.read_frame(channel.fileno(), deadline=deadline)
            if greeting != {"ready": True}:
                raise RuntimeError(str(greeting["error"]))
            frames.write_frame(channel.fileno(), {"seed": seed}, deadline=deadline)
        except frames.BrokenFrameError:
            channel.close()
            time.sleep(0.2)  # the sockets of a dead server close one after the other
            if not self.alive():
                raise ServerGoneError("the server ended") from None
            raise RuntimeError("the episode's process died before its first cell") from None
        except TimeoutError:
            channel.close()
            raise ServerGoneError("the server does not answer") from None
        except BaseException:
            channel.close()
            raise
        return channel

    def close(self, number: int) -> None:
        """Have the child of episode ``number`` killed; nothing happens where it is gone already."""
        with self._lock, contextlib.suppress(frames.BrokenFrameError, TimeoutError, OSError):
            deadline = time.monotonic() + REQUEST_SECONDS
            frames.write_frame(self._control.fileno(), {"close": number}, deadline=deadline)

    def _ask(self, request: Mapping[str, object]) -> socket.socket:
        deadline = time.monotonic() + REQUEST_SECONDS
        try:
            with self._lock:
                frames.write_frame(self._control.fileno(), request, deadline=deadline)
                answer, fd = frames.read_frame_with_fd(self._control, deadline=deadline)
        except (frames.BrokenFrameError, TimeoutError, OSError, ValueError) as error:
            raise ServerGoneError(str(error)) from None
        if fd is None:
            raise RuntimeError(str(answer.get("error", "the server started no episode")))
        channel = socket.socket(fileno=fd)
        channel.setblocking(False)
        return channel


def _table_message(table: Table) -> dict[str, Any]:
    path, reading = table if isinstance(table, tuple) else (table, None)
    return {"path": str(path.resolve()), "reading": reading and reading.model_dump()}


def fault_of(kind: str, cause: str, hint: str) -> Fault:
    """Convert a server's error message to the fault that the user sees."""
    if kind == "ModuleNotFoundError":
        return NotInstalled(f"the sandbox cannot start: {cause}", DATAGEN)
    if kind in _FAULTS:
        return _FAULTS[kind](cause, hint)
    return BadData(f"the sandbox cannot read its tables: {cause}", hint or "check the file")


def check_level(*, wanted: Level | None, obtained: Level) -> None:
    if wanted is None and obtained == "none":
        raise SandboxUnsafe(
            "this machine provides no isolation for the sandbox",
            "use Linux or Docker, or, if you trust every model, add --sandbox none",
        )
    if wanted is not None and obtained != wanted:
        raise SandboxUnsafe(
            f"the sandbox reaches level {obtained} here, not {wanted}",
            f"use a kernel with Landlock and seccomp, or take the lower level: --sandbox {obtained}",
        )
