"""Questions about a table in a chat: each has an episode's prompt, and its code runs in the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from datagen.episode import Message, PromptStyle, Question, Trace
from datagen.episodes.agent import solve
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import table_ref
from datagen.judge.answer_types import AnswerType
from datagen.prompts.render import TURN_LIMIT
from datagen.sandbox.remote import check_tables
from datagen.sandbox.server_pool import start_sandbox
from datagen.tables.infer import check_file
from datagen.tables.table import profile_table

if TYPE_CHECKING:
    from datagen.chat.conversation import Side
    from datagen.models.protocol import Reply
    from datagen.sandbox import Sandbox

FORMS: tuple[AnswerType, ...] = get_args(AnswerType)


class TableQuestions:
    """A table, and the sandbox over it; `form` is that of the answers, which `full` prompts state.

    Raises NotFound and BadData for a file that cannot be read as a table, and what starting a sandbox raises.
    """

    def __init__(self, path: Path, style: PromptStyle) -> None:
        check_file(path)
        check_tables([path])
        self.path = path
        self.style: PromptStyle = style
        self.form: AnswerType = "number"
        self.profile = profile_table(path)
        self._ref = table_ref(self.profile, path.parent)
        self._sandbox: Sandbox | None = start_sandbox(self._task(""))

    @property
    def remark(self) -> str:
        """What was read, and the form of the prompts, in one line."""
        found = f"{self.path.name}: {self.profile.rows:,} rows, {len(self.profile.columns)} columns"
        level = f"sandbox {self._sandbox.level}" if self._sandbox else ""
        return f"{found}; {level}; {self.style} prompts, {TURN_LIMIT[self.style]} turns a question"

    def ask(self, side: Side, question: str, *, session: str) -> Trace:
        """One side's turns, shown while they happen. An interrupt ends its running code too."""
        trace = asyncio.run(self._solve(side, self._task(question), session))
        if trace.turns:
            last = trace.turns[-1]
            side.screen.output(f"{last.stdout.rstrip()}\n{last.stderr.rstrip()}".strip("\n"))
        if trace.submitted:
            side.screen.line(f"answer: {trace.answer!r}", style="bold")
        else:
            side.screen.line(f"no answer ({trace.failure or f'in {len(trace.turns)} turns'})")
        return trace

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None

    def _task(self, question: str) -> Task:
        asked = Question(
            id="chat",
            text=question,
            answer_type=self.form,
            source="imported",
            family="chat",
            difficulty="easy",
            known=False,
        )
        return Task(question=asked, tables=[self._ref], paths=[self.path], style=self.style)

    async def _solve(self, side: Side, task: Task, session: str) -> Trace:
        sandbox = self._sandbox
        if sandbox is None:
            sandbox = self._sandbox = await asyncio.to_thread(start_sandbox, task)
        solving = asyncio.ensure_future(solve(task, _Turns(side), sandbox, session=session))
        try:
            return await asyncio.shield(solving)
        except asyncio.CancelledError:
            self.close()  # a cell that runs ends with its server
            raise


@dataclass(frozen=True)
class _Turns:
    """A Model that also shows what the code of its last reply printed."""

    side: Side

    @property
    def name(self) -> str:
        return self.side.name

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        if any(message.role == "assistant" for message in messages):
            self.side.screen.output(messages[-1].content)
        return await self.side.reply(messages, session=session)
