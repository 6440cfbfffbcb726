"""The server of one set of tables: imports and reads once, then forks a child for each episode.

Stays single-threaded, because only then is a fork a faithful copy. Each child talks to the client
on a separate channel, whose other end the server passes on unread: it never reads what a child
wrote, and it takes no descriptor from anybody. When the client goes away the server ends, and the
children with it.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pandas as pd

from datagen.sandbox import frames
from datagen.sandbox.cells import child
from datagen.sandbox.cells.cell import Cells
from datagen.sandbox.isolation import limits
from datagen.sandbox.server.children import ChildPool, ask_in_child
from datagen.sandbox.server.client_exit import exit_with_client
from datagen.sandbox.server.large_pages import LargePages
from datagen.sandbox.server.preload import import_scipy, read_tables, warm_cells, warm_tables

_SETUP_SECONDS = 30.0
_DYING_SECONDS = 0.05

CheckSetup = Callable[[Any], Any]


def run(control: socket.socket, check_setup: CheckSetup = lambda setup: setup) -> int:
    """Serve the client at the other end of ``control`` until it closes it; the exit code.

    ``check_setup`` checks and changes the client's setup; the client receives the errors that it raises.
    """
    try:
        with exit_with_client(control):
            server = _start(control, check_setup)
    except (frames.BrokenFrameError, TimeoutError):
        return 1
    except Exception as error:  # noqa: BLE001 - the client turns it into a fault
        frames.write_frame(control.fileno(), _failure(error))
        return 1
    if server is None:
        frames.write_frame(control.fileno(), {"checked": True})
        return 0
    frames.write_frame(control.fileno(), {"level": server.level, "layers": server.layers})
    server.serve()
    return 0


def _start(control: socket.socket, check_setup: CheckSetup) -> "_Server | None":
    """The server, or None if the client only wants its setup checked.

    A separate function: no frame below a cell contains the client's setup.
    """
    deadline = time.monotonic() + _SETUP_SECONDS
    asked = frames.read_frame(control.fileno(), deadline=deadline)
    setup = check_setup(asked)
    if asked.get("check_only"):
        return None
    tables = read_tables(setup["tables"])
    warm_tables(tables)
    child.redirect_to_null()
    return _Server(control, tables, setup)


class _Server:
    def __init__(
        self, control: socket.socket, tables: dict[str, pd.DataFrame], setup: dict[str, Any]
    ) -> None:
        """Restrict this process, then see what a child of it is denied."""
        self._control = control
        self._cells = warm_cells(Cells(tables, output_chars=int(setup["output_chars"])))
        self._has_scipy = False
        self._memory = LargePages()
        plan = limits.Restrictions(
            level=setup["level"],
            memory_bytes=int(setup["memory_bytes"]),
            cpu_seconds=int(setup["cpu_seconds"]),
        )
        self._confinement = limits.Confinement(plan)
        self._confinement.enter_server()
        self.layers: list[str] = self._probe()
        self.level = limits.level_of(self.layers)
        self._memory.gather()
        self._children = ChildPool(self._run_episode)

    def serve(self) -> None:
        with contextlib.suppress(frames.BrokenFrameError):
            while True:
                if frames.pending(self._control.fileno()) or not self._children.reap_and_refill():
                    self._handle_request()
        self._children.end_all()

    def _handle_request(self) -> None:
        seconds = _DYING_SECONDS if self._children.has_dying() else None
        if not frames.pending(self._control.fileno(), seconds):
            return
        request = frames.read_frame(self._control.fileno())
        if "open" in request:
            self._open(int(request["open"]), scipy=bool(request.get("scipy")))
        elif "close" in request:
            self._children.end(int(request["close"]))

    def _open(self, number: int, *, scipy: bool) -> None:
        if scipy and not self._has_scipy:
            self._has_scipy = True
            self._children.drop_spares()
            import_scipy()
            self._memory.gather()
            self._confinement.measure()
        try:
            channel = self._children.take(number)
        except OSError as error:
            told = {"error": f"no process for the episode: {error.strerror}"}
            frames.write_frame(self._control.fileno(), told)
            return
        with channel:
            frames.write_frame_with_fd(self._control, {"opened": number}, channel.fileno())

    def _run_episode(self, channel: int) -> NoReturn:
        child.run_episode(
            channel,
            cells=self._cells,
            confinement=self._confinement,
            level=self.level,
        )

    def _probe(self) -> list[str]:
        try:
            answer = ask_in_child(lambda channel: child.probe(channel, self._confinement))
        except frames.BrokenFrameError:
            return []
        return [str(layer) for layer in answer["layers"]]


def _failure(error: Exception) -> dict[str, str]:
    cause = getattr(error, "cause", None) or f"{type(error).__name__}: {error}"
    return {
        "kind": type(error).__name__,
        "cause": str(cause),
        "hint": str(getattr(error, "hint", "")),
    }
