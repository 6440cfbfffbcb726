"""The loop: a model, a question and a sandbox session become a trace.

One fenced python block a turn; its output goes back to the model until it submits an answer or the
turns are used up. A reply without exactly one block, or cut off by the model's limit, costs a turn.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING

from datagen.episode import Hook, Trace, Turn, turn_messages
from datagen.models.protocol import NoReply
from datagen.prompts.render import TURN_LIMIT, code_of, feedback, opening
from datagen.sandbox.slots import Slots, SlotSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datagen.episode import Message, PromptStyle, Question, TableRef
    from datagen.models.protocol import Model, Reply
    from datagen.sandbox import Sandbox

SLOTS = Slots()  # shared by everything that runs in this process
# What a reply ends with that its model did not end itself.
CUT_OFF = frozenset({"length", "content_filter", "error"})


async def solve(
    model: Model,
    question: Question,
    tables: Sequence[TableRef],
    sandbox: Sandbox,
    *,
    session: str,
    style: PromptStyle = "brief",
    hinted: bool = False,
    turn_limit: int | None = None,
) -> Trace:
    """Let `model` work on `question`; `session` names the attempt, `style` sets the turns it has.

    The attempt fails where the model gives no reply (`Trace.failure` has the reason). Raises NoReply
    "unavailable", because asking later may help, and the Faults of the model.
    """
    limit = turn_limit or TURN_LIMIT[style]
    start = opening(question, tables, style, hinted=hinted, turns=limit)
    return await work(
        model, start, sandbox, session=session, style=style, turn_limit=limit, hinted=hinted
    )


async def work(
    model: Model,
    start: Sequence[Message],
    sandbox: Sandbox,
    *,
    session: str,
    style: PromptStyle,
    turn_limit: int,
    hinted: bool = False,
    ended: Callable[[str], bool] = lambda _: False,
    slots: Slots = SLOTS,
) -> Trace:
    """The loop itself, from any opening messages; a reply that has `ended` it is not run."""
    began = time.monotonic()
    messages, failure = [*start], None
    turns: list[Turn] = []
    replies: list[Reply] = []
    with ExitStack() as stack:
        cells = stack.enter_context(
            SlotSession(sandbox, slots)
        )  # forks at the first code, not before
        for left in reversed(range(turn_limit)):
            try:
                reply = await model.reply(messages, session=session)
            except NoReply as none:
                if none.kind == "unavailable":
                    raise
                failure = none.kind
                if none.reply is not None:
                    replies.append(none.reply)
                    turns.append(Turn(reply=none.reply.text, code=None, error=True))
                break
            replies.append(reply)
            if ended(reply.text):
                turns.append(Turn(reply=reply.text, code=None))
                break
            turn = await asyncio.to_thread(_take_turn, reply, cells, style, left)
            turns.append(turn)
            messages += turn_messages(turn)
            if turn.submitted:
                break
        await asyncio.to_thread(stack.close)
    return _trace(start, turns, replies, time.monotonic() - began, hinted=hinted, failure=failure)


def _take_turn(reply: Reply, cells: SlotSession, style: PromptStyle, left: int) -> Turn:
    """Run the reply's code; the feedback is None once there is nothing left to reply to."""
    cut_off = reply.finish_reason in CUT_OFF
    code = None if cut_off else code_of(reply.text)
    if code is None:
        told = feedback(None, style, left=left, cut_off=cut_off) if left else None
        return Turn(reply=reply.text, code=None, error=True, feedback=told)
    result = cells.run(code)
    over = not left or result.submitted
    return Turn(
        reply=reply.text,
        code=code,
        stdout=result.stdout,
        stderr=result.stderr,
        hooks=[Hook(name=h.name, value=h.value, depends_on=[*h.depends_on]) for h in result.hooks],
        submitted=result.submitted,
        answer=result.answer,
        error=not result.ok,
        feedback=None if over else feedback(result, style, left=left),
    )


def _trace(
    start: Sequence[Message],
    turns: list[Turn],
    replies: Sequence[Reply],
    seconds: float,
    *,
    hinted: bool,
    failure: str | None,
) -> Trace:
    return Trace(
        opening=[*start],
        turns=turns,
        hinted=hinted,
        failure=failure,
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.completion_tokens for reply in replies),
        reasoning_tokens=sum(reply.reasoning_tokens for reply in replies),
        cost=float(sum((reply.cost or Decimal(0) for reply in replies), Decimal(0))),
        seconds=round(seconds, 3),
        providers=sorted({reply.provider for reply in replies if reply.provider}),
        quantizations=sorted({reply.quantization for reply in replies if reply.quantization}),
    )
