import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.episodes.attempts import Task
from datagen.sandbox import Sandbox
from datagen.sandbox.server_pool import ServerPool, TablesAndPaths


class Server:
    open: list[str] = []  # noqa: RUF012
    most = 0

    def __init__(self, task: Task):
        self.name = task.paths[0].name
        Server.open.append(self.name)
        Server.most = max(Server.most, len(Server.open))

    def close(self):
        Server.open.remove(self.name)


@pytest.fixture(autouse=True)
def _fresh():
    Server.open, Server.most = [], 0


def about(task: Task, name: str) -> Task:
    return replace(task, paths=[Path(name)])


def test_few_servers_run_and_each_user_gets_its_own_table(tasks: list[Task]):
    used: list[tuple[str, str]] = []

    async def one(servers: ServerPool, name: str) -> None:
        async with servers.sandbox_for(about(tasks[0], name)) as server:
            await asyncio.sleep(0.001)
            assert server.name in Server.open  # type: ignore[attr-defined]
            used.append((name, server.name))  # type: ignore[attr-defined]

    async def main() -> None:
        servers = ServerPool(3, Server)  # type: ignore[arg-type]
        names = [f"t{n % 7}" for n in range(50)]
        await asyncio.gather(*(one(servers, name) for name in names))
        await servers.close()
        await servers.close()

    asyncio.run(main())
    assert len(used) == 50
    assert all(wanted == got for wanted, got in used)
    assert Server.most <= 3
    assert Server.open == []


def test_a_server_that_does_not_start_is_told_of_where_it_is_wanted(tasks: list[Task]):
    def broken(task: TablesAndPaths) -> Sandbox:
        raise ValueError(task.paths[0].name)

    async def main() -> None:
        servers = ServerPool(1, broken)
        with pytest.raises(ValueError, match="t1"):
            async with servers.sandbox_for(about(tasks[0], "t1")):
                pass
        with pytest.raises(ValueError, match="t2"):
            async with servers.sandbox_for(about(tasks[0], "t2")):
                pass
        await servers.close()

    asyncio.run(main())


def test_a_server_that_is_still_starting_is_not_waited_for_and_does_not_stay(tasks: list[Task]):
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def __init__(self, task: TablesAndPaths) -> None:
            begun.set()
            assert go.wait(60)

        def close(self) -> None:
            closed.set()

    async def main() -> None:
        servers = ServerPool(1, Slow)  # type: ignore[arg-type]
        user = asyncio.create_task(servers.sandbox_for(tasks[0]).__aenter__())
        await asyncio.to_thread(begun.wait, 60)
        user.cancel()
        await asyncio.wait([user])
        await asyncio.wait_for(servers.close(), 30)

    asyncio.run(main())
    assert not go.is_set()
    assert not closed.is_set()
    go.set()
    assert closed.wait(60)
