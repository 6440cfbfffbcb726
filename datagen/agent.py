"""The loop: a model, a question and a sandbox session become a trace.

One fenced python block a turn; its output goes back to the model until it submits an answer or the
turns are used up. A reply without a block costs a turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from datagen.episode import Hook, Trace, Turn, turn_messages
from datagen.prompts.render import code_of, feedback, opening

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.episode import Question, TableRef
    from datagen.models import Model
    from datagen.sandbox import Sandbox, Session

TURN_LIMIT = 3


async def solve(
    model: Model,
    question: Question,
    tables: Sequence[TableRef],
    sandbox: Sandbox,
    *,
    session: str,
    turn_limit: int = TURN_LIMIT,
) -> Trace:
    """Let `model` work on `question` for at most `turn_limit` turns; `session` names the attempt."""
    start = opening(question, tables)
    messages, turns = [*start], []
    read = written = 0
    with await asyncio.to_thread(sandbox.episode) as cells:
        for left in reversed(range(turn_limit)):
            reply = await model.reply(messages, session=session)
            read += reply.prompt_tokens
            written += reply.completion_tokens
            turn = await asyncio.to_thread(_take_turn, reply.text, cells, last=left == 0)
            turns.append(turn)
            messages += turn_messages(turn)
            if turn.submitted:
                break
    return Trace(opening=start, turns=turns, prompt_tokens=read, completion_tokens=written)


def _take_turn(reply: str, session: Session, *, last: bool) -> Turn:
    """Run the reply's code; the feedback is None once there is nothing left to reply to."""
    code = code_of(reply)
    if code is None:
        return Turn(reply=reply, code=None, error=True, feedback=None if last else feedback(None))
    result = session.run(code)
    return Turn(
        reply=reply,
        code=code,
        stdout=result.stdout,
        stderr=result.stderr,
        hooks=[Hook(name=h.name, value=h.value, depends_on=[*h.depends_on]) for h in result.hooks],
        submitted=result.submitted,
        answer=result.answer,
        error=not result.ok,
        feedback=None if last or result.submitted else feedback(result),
    )
