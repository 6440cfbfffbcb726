"""Many questions, one model: attempts in sandboxes, judged, as episodes. Teacher and evaluation alike.

Each finished episode is appended to a journal at once; a run that was cut off takes up its journal
and asks only what is missing.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from datagen.agent import TURN_LIMIT, solve
from datagen.episode import (
    Column,
    Episode,
    Provenance,
    Question,
    TableRef,
    Trace,
    Verdict,
    stable_id,
)
from datagen.prompts.render import prompt_hash
from datagen.sandbox import Sandbox
from datagen.verify import judge

if TYPE_CHECKING:
    from datagen.models import Model
    from datagen.tables import TableProfile

TABLES_AT_ONCE = 8
CONCURRENCY = 64


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question, the tables it is about (the first is `df`), and where they lie now, in that order."""

    question: Question
    tables: list[TableRef]
    paths: list[Path]


def table_ref(profile: TableProfile, relative_to: Path) -> TableRef:
    """The table as an episode file in `relative_to` refers to it."""
    return TableRef(
        name=profile.name,
        path=os.path.relpath(profile.path, relative_to),
        sha256=profile.sha256,
        rows=profile.rows,
        columns=[Column(name=c.name, kind=c.kind) for c in profile.columns],
        reading=profile.reading,
    )


def attempt_all(
    tasks: Sequence[Task],
    model: Model,
    *,
    seed: int,
    journal: Path,
    done: Callable[[Episode], None] = lambda _: None,
    concurrency: int = CONCURRENCY,
) -> list[Episode]:
    """One judged episode for each task, in the order of the tasks.

    `done` hears of each episode as it ends, those found in the journal first.
    """
    found = {episode.id: episode for episode in _read_journal(journal)}
    ids = [_id(task, model.name, seed) for task in tasks]
    for key in ids:
        if key in found:
            done(found[key])
    missing = [task for task, key in zip(tasks, ids, strict=True) if key not in found]
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file:

        def keep(episode: Episode) -> None:
            file.write(episode.model_dump_json() + "\n")
            file.flush()
            found[episode.id] = episode
            done(episode)

        asyncio.run(_attempt(missing, model, seed=seed, keep=keep, concurrency=concurrency))
    return [found[key] for key in ids]


def _id(task: Task, model: str, seed: int) -> str:
    """The same question, table, model, texts and seed always make the same id."""
    contents = [table.sha256 for table in task.tables]
    return stable_id(task.question.id, *contents, model, prompt_hash(), str(seed))


async def _attempt(
    tasks: Sequence[Task],
    model: Model,
    *,
    seed: int,
    keep: Callable[[Episode], None],
    concurrency: int,
) -> None:
    gate = asyncio.Semaphore(concurrency)

    async def one(task: Task, sandbox: Sandbox) -> None:
        async with gate:
            attempt = _id(task, model.name, seed)
            trace = await solve(model, task.question, task.tables, sandbox, session=attempt)
        keep(_episode(task, trace, model=model.name, seed=seed, level=sandbox.level))

    for some in _by_tables(tasks):
        with ExitStack() as stack:
            sandboxes = _open_sandboxes(some, stack)
            async with asyncio.TaskGroup() as group:
                for task in some:
                    group.create_task(one(task, sandboxes[_key(task)]))


def _key(task: Task) -> tuple[Path, ...]:
    """What tasks that share a sandbox server have in common."""
    return tuple(task.paths)


def _open_sandboxes(tasks: Sequence[Task], stack: ExitStack) -> dict[tuple[Path, ...], Sandbox]:
    """One sandbox for each set of tables, started side by side and closed with `stack`."""
    one_each = {_key(task): task for task in tasks}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        sandboxes = pool.map(_sandbox, one_each.values())
        return {key: stack.enter_context(box) for key, box in zip(one_each, sandboxes, strict=True)}


def _sandbox(task: Task) -> Sandbox:
    names = [table.name for table in task.tables]
    return Sandbox(dict(zip(names, task.paths, strict=True)))


def _by_tables(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """The tasks in groups that need at most TABLES_AT_ONCE sandbox servers."""
    order = {key: at for at, key in enumerate(dict.fromkeys(map(_key, tasks)))}
    by_table = sorted(tasks, key=lambda task: order[_key(task)])
    for _, some in groupby(by_table, key=lambda task: order[_key(task)] // TABLES_AT_ONCE):
        yield [*some]


def _episode(task: Task, trace: Trace, *, model: str, seed: int, level: str) -> Episode:
    question = task.question
    if trace.submitted:
        judged = judge(trace.answer, question.truth, question.answer_type, question.decimals)
        verdict = Verdict(verified=judged.correct, rule=judged.rule, detail=judged.detail)
    else:
        verdict = Verdict(
            verified=False,
            rule="not submitted",
            detail=f"no answer in {len(trace.turns)} of {TURN_LIMIT} turns",
        )
    return Episode(
        id=_id(task, model, seed),
        question=question,
        tables=task.tables,
        traces=[trace],
        verdict=verdict,
        provenance=Provenance(
            model=model,
            prompt_sha256=prompt_hash(),
            sandbox_level=level,
            seed=seed,
            versions={"python": platform.python_version()}
            | {name: version(name) for name in ("pandas", "numpy")},
        ),
    )


def _read_journal(path: Path) -> Iterator[Episode]:
    """The whole lines of a journal; a torn last one is cut off, so that appending is safe."""
    if not path.exists():
        return
    good = 0
    lines = path.read_bytes().splitlines(keepends=True)
    for line in lines:
        try:
            episode = Episode.model_validate_json(line)
        except ValidationError:
            break
        good += len(line)
        yield episode
    with path.open("r+b") as file:
        file.truncate(good)
