"""The scripted teacher's lines: the code that answers each template question, now and then after a slip."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.models import ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.template import script

if TYPE_CHECKING:
    from datagen.episode import Question
    from datagen.generate import Task

SLIP_SHARE = 0.1
# A slip repeats the columns' names; where they are few and short the two turns still make a short row.
SLIP_LENGTH = 190


def scripted_teacher(tasks: Sequence[Task], *, seed: int) -> ScriptedTeacher:
    """A teacher that knows these tasks; about one short question in ten it first gets a name wrong."""
    rng = random.Random(f"teacher-{seed}")
    scripts: dict[str, list[str]] = {}
    for task in tasks:
        asked = opening(task.question, [task.table])[-1].content
        slip = rng.random() < SLIP_SHARE and len(asked) <= SLIP_LENGTH
        scripts[asked] = [
            *([as_reply(_slip(task.question))] if slip else []),
            as_reply(script(task.question)),
        ]
    return ScriptedTeacher(scripts)


def _slip(question: Question) -> str:
    """The right code with a letter missing from a column's name."""
    column = str(question.params.get("n") or question.params["c"])
    return script(question).replace(f'"{column}"', f'"{column[:-1]}"')
