"""Base and adapter answer one prompt after the other; each remembers its own answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from datagen.chat.screen import Screen
from datagen.episode import Message, Trace
from datagen.models.protocol import NoReply, Reply
from trainer.contract.command.errors import Usage

if TYPE_CHECKING:
    from datagen.chat.table import TableQuestions
    from datagen.models.local.model import Generation

STOPPED = "stopped"


class WritingModel(Protocol):
    """A Model that calls `written` with each part of its reply."""

    @property
    def name(self) -> str: ...

    async def reply(
        self, messages: Sequence[Message], *, session: str, written: Callable[[str], object]
    ) -> Reply: ...


class Engine(Protocol):
    """Models by label; `context` is the most tokens that they read and write, None if unknown."""

    generation: Generation

    @property
    def models(self) -> Mapping[str, WritingModel]: ...

    @property
    def context(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`messages` is everything up to the answer's text, which stands last.

    `ending` is "stop", "length" (cut off), or "stopped" by the user. `trace`: the turns about a table.
    """

    messages: list[Message]
    ending: str
    trace: Trace | None = None

    def record(self) -> dict[str, Any]:
        """The answer as JSON."""
        if self.trace is None:
            return {"text": self.messages[-1].content, "ending": self.ending}
        turns = [
            turn.model_dump(include={"reply", "stdout", "stderr"}) for turn in self.trace.turns
        ]
        return {
            "answer": self.trace.answer,
            "submitted": self.trace.submitted,
            "failure": self.trace.failure,
            "turns": turns,
        }


@dataclass
class Side:
    """The base or the adapter: a Model that shows its replies while it writes them."""

    label: str
    model: WritingModel
    screen: Screen
    history: list[Message] = field(default_factory=list)
    written: str = ""

    @property
    def name(self) -> str:
        return self.model.name

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        """See `datagen.models.protocol.Model`; `written` has the text so far."""

        def show(text: str) -> None:
            self.written += text
            self.screen.write(text)

        self.written = ""
        try:
            return await self.model.reply(messages, session=session, written=show)
        finally:
            self.screen.write("", end=True)


class Conversation:
    """`only` is the label of the side that answers, None for all; `system` is the first message, None for none.

    `keeps` True: an answer that the user interrupts ends there, and the conversation continues.
    """

    def __init__(
        self, engine: Engine, screen: Screen, *, system: str | None = None, keeps: bool = False
    ) -> None:
        self.engine = engine
        self.screen = screen
        self.system = system
        self.keeps = keeps
        self.only: str | None = None
        self.table: TableQuestions | None = None
        self.sides = [Side(label, model, screen) for label, model in engine.models.items()]
        self.last: dict[str, Answer] = {}
        self._asked = 0

    def clear(self) -> None:
        """Forget all prompts and answers."""
        self.last = {}
        for side in self.sides:
            side.history = []

    def ask(self, prompt: str) -> dict[str, Answer]:
        """The answers by label. Raises Usage where the context has no room for the prompt."""
        self._asked += 1
        self.last = {}
        answering = [side for side in self.sides if self.only in {None, side.label}]
        for side in answering:
            if len(answering) > 1:
                self.screen.heading(side.label)
            if answer := self._answer(side, prompt):
                self.last[side.label] = answer
            if side is not answering[-1]:
                self.screen.line()
        return self.last

    def _answer(self, side: Side, prompt: str) -> Answer | None:
        """None for an answer that was interrupted before it had any text."""
        session = f"chat {self._asked}"
        try:
            if self.table is not None:
                trace = self.table.ask(side, prompt, session=session)
                return Answer(messages=trace.messages(), ending="stop", trace=trace)
            return self._next(side, prompt, session)
        except NoReply as missing:
            cause = str(missing).removeprefix("refused: ")
            hint = "start a new one with /clear" if side.history else "ask a shorter question"
            raise Usage(f"the context is full: {cause}", hint) from None
        except KeyboardInterrupt:
            if not self.keeps:
                raise
            self.screen.remark("(stopped)")
            return None

    def _next(self, side: Side, prompt: str, session: str) -> Answer | None:
        before = [Message(role="system", content=self.system)] if self.system else []
        messages = [*before, *side.history, Message(role="user", content=prompt)]
        try:
            reply = asyncio.run(side.reply(messages, session=session))
        except KeyboardInterrupt:
            if not self.keeps or not side.written:
                raise
            reply = Reply(text=side.written, finish_reason=STOPPED)
        messages.append(Message(role="assistant", content=reply.text))
        side.history = messages[len(before) :]
        ending = reply.finish_reason or "stop"
        if ending == STOPPED:
            self.screen.remark("(stopped)")
        elif ending == "length":
            self.screen.remark(self._why_cut_off(reply))
        elif not reply.text:
            self.screen.remark("(no text)")
        return Answer(messages=messages, ending=ending)

    def _why_cut_off(self, reply: Reply) -> str:
        context, most = self.engine.context, self.engine.generation.tokens
        if context is not None and reply.prompt_tokens + reply.completion_tokens >= context:
            return f"(cut off: the context of {context:,} tokens is full; /clear starts a new conversation)"
        return f"(cut off after {most:,} tokens; more with --tokens)"
