"""A server that a sandbox service made for us, over the service's Unix socket."""

import select
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from datagen.sandbox import frames
from datagen.sandbox.connection import START_SECONDS, Server, Table, fault_of
from datagen.sandbox.level import from_setting
from datagen.sandbox.messages import CellLimits, Level
from trainer.contract.command.errors import SandboxUnsafe

CONNECT_SECONDS = 60.0
_PAUSE_SECONDS = 0.1


class RemoteServer(Server):
    """Lives as long as its connection: the service ends it when the client closes it or ends."""

    def __init__(
        self, path: Path, tables: Mapping[str, Table], limits: CellLimits, level: Level | None
    ) -> None:
        """Connect, waiting for a service that is just starting, and have the tables read.

        Raises SandboxUnsafe (no service, or it fell silent), NotFound, BadData.
        """
        super().__init__(_connect(path))
        try:
            self.set_up(tables, limits, level)
        except (frames.BrokenFrameError, TimeoutError):
            self.stop()
            raise _silent(path) from None
        except BaseException:
            self.stop()
            raise

    def alive(self) -> bool:
        if self._control.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._control, 0)
        return not poll.poll(0)

    def stop(self) -> None:
        with self._lock:
            self._control.close()


def check_tables(paths: Iterable[Path]) -> None:
    """Ask the sandbox service of the settings, if there is one, whether it may read these tables.

    Nothing is read: a command calls this before it loads a model or pays for a call.
    Raises SandboxUnsafe (no service, or it fell silent), NotFound, BadData.
    """
    service = from_setting().socket
    if service is None:
        return
    tables = {str(path): {"path": str(path.resolve()), "reading": None} for path in paths}
    deadline = time.monotonic() + START_SECONDS
    with _connect(service) as control:
        control.setblocking(False)
        try:
            request = {"tables": tables, "check_only": True}
            frames.write_frame(control.fileno(), request, deadline=deadline)
            answer = frames.read_frame(control.fileno(), deadline=deadline)
        except (frames.BrokenFrameError, TimeoutError):
            raise _silent(service) from None
    if "kind" in answer:
        raise fault_of(answer["kind"], answer["cause"], answer["hint"])


def _silent(path: Path) -> SandboxUnsafe:
    return SandboxUnsafe(
        f"the sandbox service at {path} ended without an answer",
        "read its log; a table may need more memory than the service has",
    )


def _connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        control = socket.socket(socket.AF_UNIX)
        try:
            control.connect(str(path))
        except OSError as error:
            control.close()
            if time.monotonic() > deadline or not isinstance(
                error, FileNotFoundError | ConnectionRefusedError | BlockingIOError
            ):
                raise SandboxUnsafe(
                    f"no sandbox service at {path}: {error.strerror or error}",
                    "start it: python -m datagen.sandbox serve, or docker compose up sandbox",
                ) from None
            time.sleep(_PAUSE_SECONDS)
        else:
            return control
