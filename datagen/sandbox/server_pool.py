"""Sandbox servers by the tables they hold: a few stay warm, the one unused longest gives way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from datagen.sandbox import Sandbox

if TYPE_CHECKING:
    from datagen.episode import TableRef

MAX_SERVERS = 8
Key = tuple[Path, ...]


class TablesAndPaths(Protocol):
    """Tables, the first of which is `df`, and where they lie, in that order."""

    @property
    def tables(self) -> list[TableRef]: ...

    @property
    def paths(self) -> list[Path]: ...


def server_key(task: TablesAndPaths) -> Key:
    """Return the key of a task's tables: tasks with the same key share a server."""
    return tuple(task.paths)


def start_sandbox(task: TablesAndPaths) -> Sandbox:
    """The sandbox over the task's tables, each read by the Reading in its episode."""
    pairs = zip(task.tables, task.paths, strict=True)
    return Sandbox({table.name: (path, table.reading) for table, path in pairs})


@dataclass
class _PooledServer:
    sandbox: Future[Sandbox]
    users: int = 0


class ServerPool:
    """At most `limit` sandboxes at a time; call `close` when none is in use."""

    def __init__(
        self, limit: int = MAX_SERVERS, starter: Callable[[TablesAndPaths], Sandbox] = start_sandbox
    ) -> None:
        self._limit = limit
        self._starter = starter
        self._pooled: dict[Key, _PooledServer] = {}  # in the order of their last use
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def sandbox_for(self, task: TablesAndPaths) -> AsyncIterator[Sandbox]:
        """The sandbox over the task's tables; waits for a place where all servers are in use.

        Raises what starting one raises: NotFound, BadData, NotInstalled, SandboxUnsafe.
        """
        pooled = await self._take(task)
        try:
            yield await asyncio.shield(asyncio.wrap_future(pooled.sandbox))
        finally:
            async with self._freed:
                pooled.users -= 1
                self._freed.notify_all()

    async def close(self) -> None:
        """End every server; does not wait for one that is still starting, which ends by itself. Idempotent."""
        up = [pooled for pooled in self._pooled.values() if not pooled.sandbox.cancel()]
        self._pooled.clear()
        for pooled in up:
            await _end(pooled)

    async def _take(self, task: TablesAndPaths) -> _PooledServer:
        key = server_key(task)
        async with self._freed:
            while key not in self._pooled and len(self._pooled) >= self._limit:
                idle = next((k for k, pooled in self._pooled.items() if not pooled.users), None)
                if idle is None:
                    await self._freed.wait()
                else:
                    await _end(self._pooled.pop(idle))
            pooled = self._pooled.pop(key, None)
            if pooled is None:
                pooled = _PooledServer(_in_background(self._starter, task))
            self._pooled[key] = pooled
            pooled.users += 1
            return pooled


def _in_background(
    starter: Callable[[TablesAndPaths], Sandbox], task: TablesAndPaths
) -> Future[Sandbox]:
    """Start it in a thread that keeps no process alive: a wide table is read for half a minute.

    One that is up after the future was cancelled is closed there.
    """
    future: Future[Sandbox] = Future()

    def run() -> None:
        try:
            sandbox = starter(task)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            with suppress(InvalidStateError):
                future.set_exception(error)
            return
        try:
            future.set_result(sandbox)
        except InvalidStateError:
            sandbox.close()

    threading.Thread(target=run, daemon=True).start()
    return future


async def _end(pooled: _PooledServer) -> None:
    """End one server; if it never started, its caller has had the error."""
    try:
        sandbox = await asyncio.wrap_future(pooled.sandbox)
    except Exception:  # noqa: BLE001
        return
    await asyncio.to_thread(sandbox.close)
