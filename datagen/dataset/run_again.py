"""Run imported attempts again: their code in this sandbox, their answers before this judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.episodes.attempts import AttemptRules, Solver, Task, episode_id
from datagen.episodes.journal import Journal
from datagen.episodes.run_questions import fill_journal, table_ref
from datagen.models.protocol import NoReply, Reply
from datagen.tables.table import profile_table

if TYPE_CHECKING:
    from datagen.dataset.import_csv_agent import Imported, ImportedAttempt
    from datagen.episode import Episode, Message, PromptStyle

STYLE: PromptStyle = "full"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A model that answers with what was written then: `recorded` maps an episode's id to its attempts.

    It refuses an attempt that was never made, and answers without code where an attempt had ended.
    """

    name: str
    recorded: Mapping[str, Sequence[ImportedAttempt]]

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        key, _, number = session.partition("/")
        attempts = self.recorded[key]
        if int(number) >= len(attempts):
            raise NoReply("refused", "the imported file has no such attempt")
        replies = attempts[int(number)].replies
        turn = sum(message.role == "assistant" for message in messages)
        return Reply(text=replies[turn] if turn < len(replies) else "(the attempt ended here)")


@dataclass(kw_only=True)
class ReplayPlan:
    """What can be run again: tasks, and what answers them. `left_out` counts by reason."""

    solver: Solver
    tasks: list[Task] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def plan_replay(found: Iterable[Imported], tables: Path, output: Path, *, model: str) -> ReplayPlan:
    """Find each episode's CSV in `tables` by its name, and make a task of it.

    Episodes in `output` refer to the tables from there.
    """
    recorded: dict[str, list[ImportedAttempt]] = {}
    replay = Replay(name=model, recorded=recorded)
    solver = Solver(model=replay, rules=AttemptRules(seed=0, attempts=1_000, traces=1_000))
    planned = ReplayPlan(solver=solver)
    refs = {path.name: path for path in sorted(tables.rglob("*.csv"))}
    profiles = {}
    for episode in found:
        path = refs.get(Path(episode.csv).name)
        attempts = [a for a in episode.attempts if not (episode.question.known and a.hinted)]
        if path is None or not attempts:
            reason = (
                f"{Path(episode.csv).name} not found in {tables}"
                if path is None
                else "only with hint"
            )
            planned.left_out[reason] = planned.left_out.get(reason, 0) + 1
            continue
        if path not in profiles:
            profiles[path] = table_ref(profile_table(path), output)
        task = Task(
            question=episode.question, tables=[profiles[path]], paths=[path.resolve()], style=STYLE
        )
        key = episode_id(task, solver)
        if key not in recorded:
            planned.tasks.append(task)
            recorded[key] = attempts
    return planned


def replay(planned: ReplayPlan, journal: Path, *, kept: Callable[[Episode], None]) -> list[Episode]:
    """Return the episodes in the order of the tasks; episodes in the journal are not run again."""
    with Journal(journal, kept) as book:
        asyncio.run(fill_journal(book, planned.tasks, planned.solver, kept=kept))
        found = {episode.id: episode for episode in book.episodes()}
    return [found[episode_id(task, planned.solver)] for task in planned.tasks]
