"""The scripted teacher's lines: the code that answers each question, now and then after a slip."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.models import Reply, ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.basic import script
from datagen.questions.family import LOOK

if TYPE_CHECKING:
    from datagen.episode import Message, Question
    from datagen.generate import Task

SLIP = "submit(answer)"  # before anything was computed: a NameError
SLIP_SHARE = 0.1


def scripted_teacher(tasks: Sequence[Task], *, seed: int) -> ScriptedTeacher:
    """A teacher that knows these tasks; one question in ten it first answers with a slip."""
    rng = random.Random(f"teacher-{seed}")
    scripts: dict[str, list[str]] = {}
    for task in tasks:
        asked = _asked(opening(task.question, task.tables, task.style))
        right = [as_reply(code) for code in solution(task.question)]
        scripts[asked] = [as_reply(SLIP), *right] if rng.random() < SLIP_SHARE else right
    return _Teacher(scripts)


def solution(question: Question) -> list[str]:
    """The code that answers a question, turn by turn; nothing where none is known."""
    if question.code is not None:
        return [part.strip("\n") for part in question.code.split(LOOK)]
    return [script(question)] if question.source == "template" else []


class _Teacher(ScriptedTeacher):
    """Tells questions apart by all that opens an attempt: another table may be asked the same text."""

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        turn = sum(message.role == "assistant" for message in messages)
        replies = self.scripts.get(_asked(messages[:2]), ())
        return Reply(text=replies[turn] if turn < len(replies) else "I do not know.")


def _asked(start: Sequence[Message]) -> str:
    system, user = start
    return f"{system.content}\0{user.content}"
