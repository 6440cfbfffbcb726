"""The server of one set of tables: imports and reads once, then forks a child for each episode.

Stays single-threaded, because only then is a fork a faithful copy. Requests and descriptors arrive
on one Unix socket; each child talks to the client on a descriptor of its own, so that the server
never reads what a child wrote. When the client goes away the server ends, and the children with it.
"""

import contextlib
import gc
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pandas as pd

from datagen.sandbox import child, limits, wire
from datagen.sandbox.result import Level


def run(control_fd: int) -> int:
    """Serve the client at the other end of ``control_fd`` until it closes it; the exit code."""
    control = socket.socket(fileno=control_fd)
    try:
        setup = wire.read_frame(control_fd)
        tables = _read_tables(setup["tables"])
        _warm_up(tables)
        gc.collect()
        gc.freeze()
        server = _Server(control, tables, setup)
        greeting = {"level": server.level}
    except wire.BrokenWireError:
        return 1
    except Exception as error:  # noqa: BLE001 - the client turns it into a fault
        wire.write_frame(control_fd, _failure(error))
        return 1
    wire.write_frame(control_fd, greeting)
    server.serve()
    return 0


class _Server:
    def __init__(
        self, control: socket.socket, tables: dict[str, pd.DataFrame], setup: dict[str, Any]
    ) -> None:
        self._control = control
        self._tables = tables
        self._output_chars = int(setup["output_chars"])
        self._children: dict[int, int] = {}
        self._plan = limits.Plan(
            level=setup["level"],
            address_space=limits.address_space() + int(setup["memory_bytes"]),
            cpu_seconds=int(setup["cpu_seconds"]),
            readable=limits.readable_folders(),
        )
        self.level: Level = limits.level_of(self._probe())

    def serve(self) -> None:
        with contextlib.suppress(wire.BrokenWireError):
            while True:
                request, channel = wire.read_frame_with_fd(self._control)
                if "open" in request and channel is not None:
                    self._open(int(request["open"]), channel, seed=int(request["seed"]))
                elif "close" in request:
                    self._close(int(request["close"]))
        for number in list(self._children):
            self._close(number)
        with contextlib.suppress(OSError):
            Path.cwd().rmdir()  # when the client was killed, nobody else does

    def _open(self, number: int, channel: int, *, seed: int) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            with contextlib.suppress(wire.BrokenWireError):
                wire.write_frame(
                    channel, {"error": f"no process for the episode: {error.strerror}"}
                )
        else:
            if pid == 0:
                child.run_episode(
                    channel,
                    tables=self._tables,
                    plan=self._plan,
                    level=self.level,
                    seed=seed,
                    output_chars=self._output_chars,
                )
            self._children[number] = pid
        finally:
            os.close(channel)

    def _close(self, number: int) -> None:
        pid = self._children.pop(number, None)
        if pid is not None:
            # Not reaped before this, so the number cannot have become another process's.
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _probe(self) -> list[str]:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            child.probe(theirs.fileno(), self._plan)
        theirs.close()
        try:
            return list(wire.read_frame(ours.fileno())["layers"])
        except wire.BrokenWireError:
            return []
        finally:
            ours.close()
            os.waitpid(pid, 0)


def _read_tables(tables: dict[str, dict[str, Any]]) -> dict[str, pd.DataFrame]:
    from datagen.episode import Reading
    from datagen.tables import read_table

    return {
        name: read_table(
            Path(table["path"]), table["reading"] and Reading.model_validate(table["reading"])
        )
        for name, table in tables.items()
    }


def _warm_up(tables: dict[str, pd.DataFrame]) -> None:
    """Make pandas load and compile what it does at first use, once instead of in each episode."""
    for table in tables.values():
        head = table.head(3)
        with contextlib.suppress(Exception):  # an odd table is the cells' business
            by = head.columns[0]
            str(head.describe(include="all"))
            str(head.groupby(by).mean(numeric_only=True))
            str(head.groupby(by).size().sort_values())
            head[head[by] == head[by]].sort_values(by)[by].value_counts()


def _failure(error: Exception) -> dict[str, str]:
    cause = getattr(error, "cause", None) or f"{type(error).__name__}: {error}"
    return {
        "kind": type(error).__name__,
        "cause": str(cause),
        "hint": str(getattr(error, "hint", "")),
    }
