"""The scripted teacher's lines: the code that answers each template question, now and then after a slip."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.models import ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.basic import script

if TYPE_CHECKING:
    from datagen.generate import Task

SLIP = "submit(answer)"  # before anything was computed: a NameError
SLIP_SHARE = 0.1


def scripted_teacher(tasks: Sequence[Task], *, seed: int) -> ScriptedTeacher:
    """A teacher that knows these tasks; one question in ten it first answers with a slip."""
    rng = random.Random(f"teacher-{seed}")
    scripts: dict[str, list[str]] = {}
    for task in tasks:
        asked = opening(task.question, task.tables)[-1].content
        right = as_reply(script(task.question))
        scripts[asked] = [as_reply(SLIP), right] if rng.random() < SLIP_SHARE else [right]
    return ScriptedTeacher(scripts)
