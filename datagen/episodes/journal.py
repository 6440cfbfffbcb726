"""The journal of finished episodes: append-only, fsynced, continued after a kill.

It holds in memory where each episode lies and nothing of the episodes themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError

from datagen.episode import Episode, as_line
from trainer.contract.command.crash_safe_files import append, open_locked, replacing
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable


class Journal:
    """One open journal file; a torn last line is cut off, because its episode was not yet done.

    `found` is called with each complete episode already in the file. Raises Locked while another process
    writes it, BadData naming the line where a line other than the last is not an episode.
    """

    def __init__(self, path: Path, found: Callable[[Episode], None] = lambda _: None) -> None:
        self.path = path
        self._file = open_locked(path)
        self._at: dict[str, int] = {}
        try:
            self._end = self._read(found)
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._at

    def __len__(self) -> int:
        return len(self._at)

    def append(self, episodes: Sequence[Episode]) -> None:
        """Write whole episodes; on return they are on disk, after an error none of them is."""
        lines = [(episode.id, as_line(episode)) for episode in episodes]
        append(self._file, b"".join(line for _, line in lines))
        for key, line in lines:
            self._at[key] = self._end
            self._end += len(line)

    def episodes(self, order: Iterable[str] = ()) -> Iterator[Episode]:
        """Every episode, one at a time: first those of `order` that are there, then all others."""
        yield from map(self._get, self._in(order))

    def copy_to(self, path: Path, order: Iterable[str] = ()) -> None:
        """Write the episodes to a file, whole or not at all, in the order that `episodes` gives."""
        with self.path.open("rb") as lines, replacing(path) as file:
            for key in self._in(order):
                lines.seek(self._at[key])
                file.write(lines.readline())

    def _in(self, order: Iterable[str]) -> Iterator[str]:
        rest = dict.fromkeys(self._at)
        for key in order:
            if key in rest:
                del rest[key]
                yield key
        yield from rest

    def _get(self, key: str) -> Episode:
        with self.path.open("rb") as file:
            file.seek(self._at[key])
            return Episode.model_validate_json(file.readline())

    def _read(self, found: Callable[[Episode], None]) -> int:
        """Index the file; where its whole lines end."""
        end = 0
        broken: int | None = None
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if broken is not None:
                    raise BadData(
                        f"{self.path}:{broken}: not an episode, and more lines follow it",
                        "repair or remove that line; the lines after it are intact",
                    )
                episode = _parse(line)
                if episode is None:
                    broken = number
                    continue
                self._at[episode.id] = end
                end += len(line)
                found(episode)
        return end


def _parse(line: bytes) -> Episode | None:
    try:
        return Episode.model_validate_json(line) if line.endswith(b"\n") else None
    except ValidationError:
        return None


@asynccontextmanager
async def keeping(
    journal: Journal, kept: Callable[[Episode], None]
) -> AsyncIterator[Callable[[Episode], Awaitable[None]]]:
    """Give a function that returns once its episode is on disk and `kept` has heard of it.

    Episodes that end while the disk is busy share the next write. On leaving, cancelled or not, what
    was handed over is on disk.
    """
    waiting: list[tuple[Episode, asyncio.Future[None]]] = []
    writer: asyncio.Task[None] | None = None

    async def write() -> None:
        while waiting:
            batch = waiting.copy()
            waiting.clear()
            try:
                await asyncio.to_thread(journal.append, [episode for episode, _ in batch])
            except Exception as error:  # noqa: BLE001 - the waiting callers get the error
                for _, future in batch:
                    future.set_exception(error)
                    future.exception()  # the caller may have been cancelled
                continue
            for episode, future in batch:
                kept(episode)
                future.set_result(None)

    async def keep(episode: Episode) -> None:
        nonlocal writer
        future = asyncio.get_running_loop().create_future()
        waiting.append((episode, future))
        if writer is None or writer.done():
            writer = asyncio.create_task(write())
        await asyncio.shield(future)

    try:
        yield keep
    finally:
        if writer is not None:
            await writer
