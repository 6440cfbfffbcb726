"""From tables to verified episodes: gather questions, have them proposed, answered and judged."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from datagen.episode import PromptStyle, Question, TableRef
from datagen.episodes.attempts import AttemptRules, Solver, Task, episode_id
from datagen.episodes.counts import EpisodeCounts
from datagen.episodes.proposed_questions import propose
from datagen.episodes.run_questions import fill_journal, table_ref
from datagen.models.protocol import NoReply
from datagen.progress import Progress
from datagen.sandbox.server_pool import ServerPool
from trainer.contract.command.errors import BadData, NotFound

if TYPE_CHECKING:
    from datagen.episode import Episode
    from datagen.episodes.journal import Journal
    from datagen.models.paid_api.account import Account
    from datagen.questions.asked import Asked
    from datagen.questions.sources import FamilySet
    from datagen.tables.table import TableProfile

PROPOSED_SHARE = 4  # from all sources, one proposed question for so many others
TICK_SECONDS = 0.5


class _Line(BaseModel):
    """A line of a question file."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    tables: list[TableRef]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Tables about which a model is to propose `count` questions."""

    tables: list[TableRef]
    paths: list[Path]
    count: int


@dataclass
class EpisodeMaker:
    """One run of `datagen episodes`: its questions, and their outcomes.

    `folder` is that of the episode file. Without an account the scripted teacher answers. `order`
    holds the ids in the order of the tasks; `unanswered` counts those that got no reply for now.
    """

    folder: Path
    style: PromptStyle
    seed: int
    account: Account | None = None
    tasks: list[Task] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    tally: EpisodeCounts = field(default_factory=EpisodeCounts)
    dropped: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    unanswered: int = 0

    def add_questions(
        self,
        profiles: Sequence[TableProfile],
        *,
        source: Literal["template", "procedural", "proposed", "all"],
        families: FamilySet,
        count: int,
    ) -> None:
        """Take the questions of the sources, and note how many a model will propose."""
        from datagen.episodes.gather import gather_with_progress

        refs = {profile.path: table_ref(profile, self.folder) for profile in profiles}
        if source != "proposed":
            asked = gather_with_progress(
                profiles, count=count, seed=self.seed, source=source, families=families
            )
            for batch in asked:
                paths = [profile.path for profile in batch.tables]
                self._add_tasks(batch.questions, [refs[path] for path in paths], paths)
        if self.account is not None and source in {"proposed", "all"} and families == "all":
            count = count if source == "proposed" else -(-count // PROPOSED_SHARE)
            self.proposals = [
                Proposal(tables=[refs[p.path]], paths=[p.path.resolve()], count=count)
                for p in profiles
            ]

    def read_questions(self, path: Path) -> None:
        """Take the questions of a file that `datagen questions` wrote.

        Raises NotFound, and BadData naming the line that is not a question.
        """
        if path.is_dir():
            raise NotFound(
                f"{path} is a folder", "give the file in it that datagen questions wrote"
            )
        if not path.is_file():
            raise NotFound(
                f"{path}: no such file", "make it with: datagen questions CSV --out FILE"
            )
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                found = _Line.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise BadData(
                    f"{path}:{number}: {where}: {first['msg']}",
                    "write it again with: datagen questions",
                ) from error
            paths = [(path.parent / table.path).resolve() for table in found.tables]
            moved = [
                table.model_copy(update={"path": os.path.relpath(place, self.folder)})
                for table, place in zip(found.tables, paths, strict=True)
            ]
            self._add_tasks([found.question], moved, paths)

    def _add_tasks(
        self, questions: Iterable[Question], tables: list[TableRef], paths: Sequence[Path]
    ) -> None:
        places = [path.resolve() for path in paths]
        self.tasks += [
            Task(question=question, tables=tables, paths=places, style=self.style)
            for question in questions
        ]

    async def make(self, journal: Journal, rules: AttemptRules) -> None:
        """Fill the journal. Raises the first Fault; what had ended by then is on disk."""
        async with self.account.connected() if self.account else nullcontext():
            servers = ServerPool()
            try:
                await self._propose(servers)
            finally:
                await servers.close()
            solver = self._solver(rules)
            self.order = [episode_id(task, solver) for task in self.tasks]
            with self._progress("episodes", len(self.order), journal) as progress:

                def kept(episode: Episode) -> None:
                    self.tally.add(episode)
                    progress.advance(f"{self.tally.right} verified")

                ticker = asyncio.create_task(_tick(progress))
                try:
                    self.unanswered += await fill_journal(journal, self.tasks, solver, kept=kept)
                finally:
                    ticker.cancel()

    def counts(self) -> dict[str, Any]:
        """The outcomes of the questions as JSON values."""
        status = self.account.status() if self.account else None
        return self.tally.counts() | {
            "unanswered": self.unanswered,
            "proposals_dropped": dict(self.dropped),
            "spent": float(status.spent) if status else 0.0,
            "uncertain": float(status.uncertain) if status else 0.0,
            "calls_lost": dict(self.account.lost()) if self.account else {},
        }

    def _solver(self, rules: AttemptRules) -> Solver:
        if (account := self.account) is not None:
            return Solver(
                model=account.teacher,
                rules=rules,
                auditor=account.audit,
                concurrency=account.open_questions,
            )
        from datagen.episodes.scripted_teacher import scripted_teacher

        return Solver(model=scripted_teacher(self.tasks, seed=self.seed), rules=rules)

    def _progress(self, label: str, total: int, journal: Journal) -> Progress:
        account = self.account
        return Progress(
            label,
            total,
            done=sum(key in journal for key in self.order),
            details=lambda: self.tally.live(account.status() if account else None, total),
        )

    async def _propose(self, servers: ServerPool) -> None:
        """Have questions proposed; a table whose model cannot be reached for now gets none."""
        if self.account is None or not self.proposals:
            return
        asker = self.account.question_gen
        asked = {task.question.text for task in self.tasks}

        with Progress("proposing", len(self.proposals)) as progress:

            async def one(proposal: Proposal) -> Asked:
                async with servers.sandbox_for(proposal) as sandbox:
                    found = await propose(asker, proposal.tables, sandbox, count=proposal.count)
                progress.advance()
                return found

            results = await asyncio.gather(*map(one, self.proposals), return_exceptions=True)
        for proposal, result in zip(self.proposals, results, strict=True):
            if isinstance(result, NoReply):
                self.unanswered += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                self.dropped.update(result.dropped)
                new = [question for question in result.questions if question.text not in asked]
                self._add_tasks(new, proposal.tables, proposal.paths)


async def _tick(progress: Progress) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(TICK_SECONDS)
            progress.refresh()
