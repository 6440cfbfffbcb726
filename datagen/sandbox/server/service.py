"""The sandbox as a service: a Unix socket at which each client gets a separate server.

The service accepts a client's names of tables below its folders, lowers the client's limits to its
maximum, and sets the level itself. One process accepts and
forks and does nothing else, so that a client can spoil its own server only.
"""

import argparse
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.sandbox.cells import child
from datagen.sandbox.isolation import limits
from datagen.sandbox.messages import LEVELS, CellLimits, Level
from datagen.sandbox.server import table_server
from datagen.sandbox.server.children import ask_in_child
from trainer.contract.command.errors import BadData, NotFound, SandboxUnsafe, Usage, run_main

CLIENTS = 64
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ClientRules:
    """The limits that a service puts on its clients."""

    folders: tuple[Path, ...]
    level: Level = "full"
    most: CellLimits = field(default_factory=lambda: CellLimits(memory_bytes=2 * 1024**3))

    def check_setup(self, setup: Mapping[str, Any]) -> dict[str, Any]:
        """The setup of a server within our bounds. Raises NotFound, BadData."""
        tables = setup.get("tables")
        if not isinstance(tables, dict) or not tables:
            raise BadData("the client names no table", "use the client of this version")
        return {
            "tables": self._tables(tables),
            "level": self.level,
            "memory_bytes": _within(setup.get("memory_bytes"), self.most.memory_bytes),
            "cpu_seconds": _within(setup.get("cpu_seconds"), int(self.most.episode_seconds) + 1),
            "output_chars": _within(setup.get("output_chars"), self.most.output_chars),
        }

    def _tables(self, tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        outside = []
        for name, table in tables.items():
            if not isinstance(table, dict) or not isinstance(table.get("path"), str):
                raise BadData(
                    "the client names a table without its path", "use this version's client"
                )
            path = Path(os.path.realpath(self.folders[0] / table["path"]))
            if not any(path.is_relative_to(folder) for folder in self.folders):
                outside.append(table["path"])
            elif not os.access(path, os.R_OK) and path.exists():
                raise BadData(
                    f"{path}: the sandbox service may not read it",
                    f"chmod o+r {path.name}, or run the service as the file's owner",
                )
            found[str(name)] = {"path": str(path), "reading": table.get("reading")}
        if outside:
            more = f" and {len(outside) - SHOWN} more" if len(outside) > SHOWN else ""
            folders = ", ".join(map(str, self.folders))
            raise NotFound(
                f"{', '.join(outside[:SHOWN])}{more}: outside the folders that the sandbox service"
                f" may read ({folders})",
                f"move the tables to {self.folders[0]} and make the episodes again from there,"
                " or start the service with --tables for their folder",
            )
        return found


def main(argv: Sequence[str]) -> int:
    """``--socket PATH --tables DIR [--tables DIR ...] [--level LEVEL]``; see ``start_server.serve_clean``."""
    return run_main(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m datagen.sandbox serve")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen at")
    parser.add_argument(
        "--tables",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="folder of tables that clients may use; repeatable",
    )
    parser.add_argument(
        "--level", choices=LEVELS, default="full", help="isolation level to require (full)"
    )
    options = parser.parse_args(argv)
    folders = tuple(Path(os.path.realpath(folder)) for folder in options.tables)
    rules = ClientRules(folders=folders, level=options.level)
    _check_level(rules.level)
    with _listening(options.socket) as listener:
        _serve(listener, rules)
    return 0


def _check_level(level: Level) -> None:
    plan = limits.Restrictions(level=level, memory_bytes=CellLimits().memory_bytes, cpu_seconds=60)
    confinement = limits.Confinement(plan)
    answer = ask_in_child(lambda channel: child.probe(channel, confinement, as_server=True))
    found = limits.level_of(answer["layers"])
    if found != level:
        raise SandboxUnsafe(
            f"the sandbox reaches level {found} here, not {level}",
            "run the service where the kernel has Landlock and seccomp",
        )


def _listening(path: Path) -> socket.socket:
    """Return a listener that every user of the machine, or of the volume, may connect to."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()  # left by one that was killed
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(CLIENTS)
    except OSError as error:
        listener.close()
        raise Usage(
            f"cannot listen at {path}: {error.strerror}", "choose another, in a writable folder"
        ) from None
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _serve(listener: socket.socket, rules: ClientRules) -> None:
    """Accept clients until a signal ends the service; its servers end with it."""
    servers: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # and removed: nothing can be made there
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            control, _ = listener.accept()
            with control:
                servers -= {pid for pid in servers if os.waitpid(pid, os.WNOHANG)[0]}
                if len(servers) < CLIENTS:
                    servers.add(_fork_server(listener, control, rules))


def _fork_server(listener: socket.socket, control: socket.socket, rules: ClientRules) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            limits.die_with_parent()
            listener.close()
            child.redirect_to_null()
            control.settimeout(None)
            code = table_server.run(control, rules.check_setup)
        finally:
            os._exit(code)
    return pid


def _within(value: object, most: int) -> int:
    return min(value, most) if isinstance(value, int) and value > 0 else most
