"""The loop: a model, a question and a sandbox session become a trace.

One fenced python block a turn; its output goes back to the model until it submits an answer or the
turns are used up. A reply without exactly one block, or cut off by the model's limit, costs a turn.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from datagen.episode import Hook, Trace, Turn, turn_messages
from datagen.models.protocol import NoReply
from datagen.prompts.render import TURN_LIMIT, code_of, feedback, opening
from datagen.sandbox.slots import Slots, SlotSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datagen.episode import Message, PromptStyle
    from datagen.episodes.attempts import Task
    from datagen.models.protocol import Model, Reply
    from datagen.sandbox import Sandbox

SLOTS = Slots()  # shared by everything that runs in this process
# Cells wait for their children in threads; one that reaches its time limit holds its thread. These threads do nothing
# else: connections and files must not wait for cells.
CELL_THREADS = max(8, 4 * (os.cpu_count() or 1))
CELLS = ThreadPoolExecutor(CELL_THREADS, thread_name_prefix="cell")
# What a reply ends with that its model did not end itself.
CUT_OFF = frozenset({"length", "content_filter", "error"})


async def solve(
    task: Task,
    model: Model,
    sandbox: Sandbox,
    *,
    session: str,
    hinted: bool = False,
    turn_limit: int | None = None,
) -> Trace:
    """Let `model` answer the task's question; `session` names the attempt.

    The attempt fails where the model gives no reply (`Trace.failure` has the reason). Raises NoReply
    "unavailable", because asking later may help, and the Faults of the model.
    """
    limit = turn_limit or TURN_LIMIT[task.style]
    start = opening(task.question, task.tables, task.style, hinted=hinted, turns=limit)
    attempt = Attempt(model, sandbox, session, task.style, limit)
    return (await attempt.run(start)).model_copy(update={"hinted": hinted})


@dataclass(frozen=True)
class Attempt:
    """Who answers and where its code runs; `style` is that of the feedback, `session` the attempt's name."""

    model: Model
    sandbox: Sandbox
    session: str
    style: PromptStyle
    turn_limit: int

    async def run(
        self, start: Sequence[Message], ended: Callable[[str], bool] = lambda _: False
    ) -> Trace:
        """The loop itself, from any opening messages; a reply that has `ended` it is not run."""
        began, loop = time.monotonic(), asyncio.get_running_loop()
        messages, failure = [*start], None
        turns: list[Turn] = []
        replies: list[Reply] = []
        with ExitStack() as stack:  # the process is forked at the first code, not before
            cells = stack.enter_context(SlotSession(self.sandbox, SLOTS))
            for left in reversed(range(self.turn_limit)):
                try:
                    reply = await self.model.reply(messages, session=self.session)
                except NoReply as missing:
                    if missing.kind == "unavailable":
                        raise
                    failure = str(missing)
                    if missing.reply is not None:
                        replies.append(missing.reply)
                        turns.append(Turn(reply=missing.reply.text, code=None, error=True))
                    break
                replies.append(reply)
                if ended(reply.text):
                    turns.append(Turn(reply=reply.text, code=None))
                    break
                turn = await loop.run_in_executor(CELLS, self._take_turn, reply, cells, left)
                turns.append(turn)
                messages += turn_messages(turn)
                if turn.submitted:
                    break
            await loop.run_in_executor(CELLS, stack.close)
        return _trace(start, turns, replies, failure, seconds=time.monotonic() - began)

    def _take_turn(self, reply: Reply, cells: SlotSession, left: int) -> Turn:
        """Run the reply's code; the feedback is None once there is nothing left to reply to."""
        cut_off = reply.finish_reason in CUT_OFF
        code = None if cut_off else code_of(reply.text)
        if code is None:
            told = feedback(None, self.style, left=left, cut_off=cut_off) if left else None
            return Turn(reply=reply.text, code=None, error=True, feedback=told)
        result = cells.run(code)
        over = not left or result.submitted
        return Turn(
            reply=reply.text,
            code=code,
            stdout=result.stdout,
            stderr=result.stderr,
            hooks=[
                Hook(name=h.name, value=h.value, depends_on=[*h.depends_on]) for h in result.hooks
            ],
            submitted=result.submitted,
            answer=result.answer,
            error=not result.ok,
            feedback=None if over else feedback(result, self.style, left=left),
        )


def _trace(
    start: Sequence[Message],
    turns: list[Turn],
    replies: Sequence[Reply],
    failure: str | None,
    *,
    seconds: float,
) -> Trace:
    return Trace(
        opening=[*start],
        turns=turns,
        failure=failure,
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        reasoning_tokens=sum(reply.reasoning_tokens for reply in replies),
        cost=float(sum((reply.cost or Decimal(0) for reply in replies), Decimal(0))),
        seconds=round(seconds, 3),
        providers=sorted({reply.provider for reply in replies if reply.provider}),
        quantizations=sorted({reply.quantization for reply in replies if reply.quantization}),
    )
