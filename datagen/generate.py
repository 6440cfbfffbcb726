"""Many questions, one model: episodes stream into a journal as they end. Teacher and evaluation alike.

A run that was cut off takes up its journal and asks only what is missing. What is held in memory does
not grow with the episodes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.attempts import How, Task, episode_id, first_of, make_episode
from datagen.episode import Column, Episode, TableRef
from datagen.journal import Journal, keeping
from datagen.models import NoReply
from datagen.tables import read_table
from datagen.warm_tables import WarmTables, tables_of
from trainer.contract.errors import TeacherUnavailable

if TYPE_CHECKING:
    from datagen.models import Model
    from datagen.tables import TableProfile

__all__ = ["How", "Task", "attempt_all", "fill", "table_ref"]

CONCURRENCY = 64
FIRST_ROWS = 4
# Cells wait for their children in threads; one that runs into its time limit holds its thread.
CELL_THREADS = max(8, 4 * (os.cpu_count() or 1))


def table_ref(profile: TableProfile, relative_to: Path) -> TableRef:
    """The table as an episode file in `relative_to` refers to it, and as prompts show it."""
    head = read_table(profile.path, profile.reading).head(FIRST_ROWS)
    return TableRef(
        name=profile.name,
        path=os.path.relpath(profile.path, relative_to),
        sha256=profile.sha256,
        rows=profile.rows,
        columns=[
            Column(
                name=c.name,
                kind=c.kind,
                meaning=c.meaning,
                missing=c.missing,
                distinct=c.distinct,
                low=c.low,
                high=c.high,
                first=c.first,
                last=c.last,
                unit=c.unit,
                top=[*c.examples],
            )
            for c in profile.columns
        ],
        head=[
            ["" if missing else str(cell) for cell, missing in zip(row, gaps, strict=True)]
            for row, gaps in zip(
                head.itertuples(index=False), head.isna().itertuples(index=False), strict=True
            )
        ],
        reading=profile.reading,
    )


async def fill(
    journal: Journal,
    tasks: Iterable[Task],
    model: Model,
    how: How,
    *,
    kept: Callable[[Episode], None] = lambda _: None,
    concurrency: int = CONCURRENCY,
    auditor: Model | None = None,
    warm: WarmTables | None = None,
) -> int:
    """Make the episodes of `tasks` that the journal lacks; return how many got no reply for now.

    `kept` hears of each episode once it is on disk. Tasks about the same tables should follow one
    another. Raises the first Fault of the models or the sandbox; what had ended by then is on disk.
    """
    warm = warm or WarmTables()
    unanswered = 0
    waiting = iter(tasks)
    begun: set[str] = set()

    async def work(keep: Callable[[Episode], Awaitable[None]]) -> None:
        nonlocal unanswered
        for task in waiting:
            key = episode_id(task, model.name, how)
            if key in journal or key in begun:
                continue
            begun.add(key)
            try:
                async with warm.over(task) as sandbox:
                    episode = await make_episode(task, model, sandbox, how, auditor)
            except NoReply:
                unanswered += 1
            else:
                await keep(episode)
            begun.discard(key)

    threads = ThreadPoolExecutor(CELL_THREADS, thread_name_prefix="cell")
    asyncio.get_running_loop().set_default_executor(threads)
    try:
        async with keeping(journal, kept) as keep, asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work(keep))
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None
    finally:
        await warm.close()
    return unanswered


def attempt_all(
    tasks: Sequence[Task],
    model: Model,
    *,
    seed: int,
    journal: Path,
    done: Callable[[Episode], None] = lambda _: None,
    concurrency: int = CONCURRENCY,
) -> list[Episode]:
    """One judged attempt for each task whose truth is known, in the order of the tasks.

    `done` hears of each episode as it ends, those found in the journal first. Raises
    TeacherUnavailable where a task got no reply.
    """
    how = How(seed=seed)
    ids = [episode_id(task, model.name, how) for task in tasks]
    wanted = {*ids}

    def found(episode: Episode) -> None:
        if episode.id in wanted:
            done(episode)

    by_tables = {key: at for at, key in enumerate(dict.fromkeys(map(tables_of, tasks)))}
    ordered = sorted(tasks, key=lambda task: by_tables[tables_of(task)])
    with Journal(journal, found) as book:
        missing = asyncio.run(fill(book, ordered, model, how, kept=done, concurrency=concurrency))
        if missing:
            raise TeacherUnavailable(
                f"{model.name}: {missing} of {len(tasks)} questions got no reply",
                "run the same command again: it asks only these",
            )
        episodes = {e.id: e for e in book.episodes() if e.id in wanted}
    return [episodes[key] for key in ids]
