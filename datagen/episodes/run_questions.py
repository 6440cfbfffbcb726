"""Many questions, one model: episodes stream into a journal as they end. Teacher and evaluation alike.

An interrupted run continues from its journal with the missing questions. What is held in memory does
not grow with the episodes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from datagen.episode import Column, Episode, TableRef
from datagen.episodes.attempts import (
    Solver,
    Task,
    broken_episode,
    episode_id,
    first_failure,
    make_episode,
)
from datagen.episodes.journal import Journal, keeping
from datagen.models.protocol import NoReply
from datagen.sandbox.server_pool import ServerPool, server_key
from datagen.tables.table import read_table
from trainer.contract.command.errors import Fault, TeacherUnavailable

if TYPE_CHECKING:
    from datagen.tables.table import TableProfile


FIRST_ROWS = 4
MAX_BROKEN = 5  # up to this many are blamed on the questions; more are a bug and stop the run


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
                head.itertuples(index=False, name=None),
                head.isna().itertuples(index=False, name=None),
                strict=True,
            )
        ],
        reading=profile.reading,
    )


class AnswerProgress(Protocol):
    """Is called with each new answer; `found` with each answer of an earlier run."""

    def __call__(self, episode: Episode) -> None: ...

    def found(self, episode: Episode) -> None: ...


async def fill_journal(
    journal: Journal,
    tasks: Iterable[Task],
    solver: Solver,
    *,
    kept: Callable[[Episode], None] = lambda _: None,
    broken: Callable[[Task, Exception], Episode] | None = None,
    servers: ServerPool | None = None,
) -> int:
    """Make the episodes of `tasks` that the journal lacks; return how many got no reply for now.

    `kept` hears of each episode once it is on disk. Where something unforeseen ends an episode,
    `broken` gives what is kept in its place; without it, it ends the run. Tasks about the same tables
    should follow one another. Raises the first Fault of the models or the sandbox; what had ended by
    then is on disk.
    """
    servers = servers or ServerPool()
    unanswered = 0
    waiting = iter(tasks)
    begun: set[str] = set()

    async def work(keep: Callable[[Episode], Awaitable[None]]) -> None:
        nonlocal unanswered
        for task in waiting:
            key = episode_id(task, solver)
            if key in journal or key in begun:
                continue
            begun.add(key)
            try:
                async with servers.sandbox_for(task) as sandbox:
                    episode = await make_episode(task, solver, sandbox)
            except NoReply:
                unanswered += 1
            except Exception as error:
                if broken is None or isinstance(error, Fault):
                    raise
                await keep(broken(task, error))
            else:
                await keep(episode)
            begun.discard(key)

    try:
        async with keeping(journal, kept) as keep, asyncio.TaskGroup() as group:
            for _ in range(solver.concurrency):
                group.create_task(work(keep))
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    finally:
        await servers.close()
    return unanswered


def attempt_all(
    tasks: Sequence[Task],
    solver: Solver,
    *,
    journal: Path,
    seeds: int = 1,
    progress: AnswerProgress | None = None,
    may_begin: Callable[[], bool] = lambda: True,
) -> list[Episode]:
    """One judged attempt for each task and each of `seeds` seeds, in that order.

    Once `may_begin` returns False, none is begun any more, and those not begun are missing in
    what is returned. An episode that breaks is a failure on record; many that do raise what broke them.
    Raises TeacherUnavailable where a task got no reply.
    """
    first = solver.rules.seed
    solvers = [
        replace(solver, rules=replace(solver.rules, seed=seed))
        for seed in range(first, first + seeds)
    ]
    ids = [episode_id(task, one) for one in solvers for task in tasks]
    wanted = {*ids}
    kept = progress or (lambda _: None)
    failures = _Failures(most=max(MAX_BROKEN, len(ids) // 20))

    def found(episode: Episode) -> None:
        if progress is not None and episode.id in wanted:
            progress.found(episode)

    by_tables = {key: at for at, key in enumerate(dict.fromkeys(map(server_key, tasks)))}
    ordered = sorted(tasks, key=lambda task: by_tables[server_key(task)])

    async def ask() -> int:
        unanswered = 0
        async with solver.connected():
            for one in solvers:
                in_time = takewhile(lambda _: may_begin(), ordered)
                broken = partial(failures.record, one)
                unanswered += await fill_journal(book, in_time, one, kept=kept, broken=broken)
        return unanswered

    with Journal(journal, found) as book:
        missing = asyncio.run(ask())
        if missing:
            raise TeacherUnavailable(
                f"{solver.model.name} did not answer {missing} of {len(ids)} questions",
                "run the same command again: it continues with these",
            )
        episodes = {e.id: e for e in book.episodes() if e.id in wanted}
    return [episodes[key] for key in ids if key in episodes]


@dataclass
class _Failures:
    """Counts episodes that an unexpected error ended, and stops the run after too many."""

    most: int
    count: int = 0

    def record(self, solver: Solver, task: Task, error: Exception) -> Episode:
        """A failed episode in its place. Raises the error once there were more than `most`."""
        self.count += 1
        if self.count > self.most:
            raise error
        return broken_episode(task, solver, error)
