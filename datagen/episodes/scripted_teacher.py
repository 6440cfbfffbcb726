"""The scripted teacher's lines: the code that answers each question, now and then after a slip.

In the brief style a reply is one block and nothing else, as the tiny model has learnt it; in the compact
style the block is the whole solution. In the full
style a sentence of reasoning comes before it, and a solution with a look at an intermediate result
takes two turns: the first announces it with hook() and prints it, the second submits.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from datagen.models.protocol import Reply, ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.basic import script
from datagen.questions.family import LOOK

if TYPE_CHECKING:
    from datagen.episode import Message, Question
    from datagen.episodes.attempts import Task

MISTAKE = "submit(answer)"  # before anything was computed: a NameError
MISTAKE_SHARE = 0.1
TEXT = re.compile(r'"(?:[^"\\\n]|\\.)*"')
BEFORE_LOOK = ("First I look at what that gives.", "I check the intermediate result first.")
AFTER_LOOK = (
    "That looks right; now the answer.",
    "The intermediate result is plausible, so I submit.",
)
CORRECTED = (
    "The column name was wrong; the table spells it {name}.",
    "KeyError: I misspelt the column. It is {name}.",
)
UNDEFINED = "I used a name before computing it. Here is the whole solution."
PLAN = "I compute it directly."


def scripted_teacher(tasks: Sequence[Task], *, seed: int) -> ScriptedTeacher:
    """A teacher that knows these tasks, each in its style; one in ten it first answers with a slip."""
    rng = random.Random(f"teacher-{seed}")
    scripts: dict[str, list[str]] = {}
    for task in tasks:
        asked = _opening_text(opening(task.question, task.tables, task.style))
        slips = rng.random() < MISTAKE_SHARE
        if task.style != "full":
            codes = solution(task.question)
            if task.style == "compact":
                codes = ["\n".join(codes)] if codes else []
            right = [as_reply(code) for code in codes]
            scripts[asked] = [as_reply(MISTAKE), *right] if slips else right
        else:
            columns = {column.name for table in task.tables for column in table.columns}
            scripts[asked] = full_style_replies(task.question, rng, columns if slips else None)
    return _Teacher(scripts)


def solution(question: Question) -> list[str]:
    """The code that answers a question, turn by turn; nothing where none is known."""
    if question.code is not None:
        return [part.strip("\n") for part in question.code.split(LOOK)]
    return [script(question)] if question.source == "template" else []


def full_style_replies(
    question: Question, rng: random.Random, columns: Collection[str] | None = None
) -> list[str]:
    """The replies that lead to the answer in the full style, one a turn.

    With the tables' columns given, the first reply is a slip: one of them misspelt, and mended in the
    second.
    """
    plan = question.hint or PLAN
    codes = solution(question)
    if not codes:
        return []
    turns = [(plan, codes[-1])]
    if len(codes) > 1:
        said = f"{plan} {rng.choice(BEFORE_LOOK)}"
        turns = [(said, with_hooks("\n".join(codes[:-1]))), (rng.choice(AFTER_LOOK), codes[-1])]
    if columns is not None:
        said, right = turns[0]
        wrong, name = _misspelt(right, columns)
        mended = rng.choice(CORRECTED).format(name=name) if name else UNDEFINED
        turns = [(said, wrong if name else MISTAKE), (mended, right), *turns[1:]]
    return [f"{said}\n\n{as_reply(code)}" for said, code in turns]


def with_hooks(code: str) -> str:
    """The code with a hook for each intermediate value it assigns, and the last of them printed."""
    hooks: dict[str, str] = {}
    for node in ast.parse(code).body:
        if not isinstance(node, ast.Assign):
            continue
        used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
        depends = sorted(used & hooks.keys())
        for target in node.targets:
            for name in (n.id for n in ast.walk(target) if isinstance(n, ast.Name)):
                hooks[name] = f'hook({name}, "{name}", {depends})'
    lines = [code.rstrip(), *hooks.values()]
    if hooks:
        lines.append(f"print({[*hooks][-1]})")
    return "\n".join(lines)


def _misspelt(code: str, columns: Collection[str]) -> tuple[str, str | None]:
    """The code with its first column name misspelt, and that name in quotes; None where it has none."""
    for literal in TEXT.findall(code):
        name: str = ast.literal_eval(literal)
        if name in columns:
            spellings = (name.title(), name.lower(), f"{name}s")
            other = next((n for n in spellings if n not in columns), f"{name}_")
            return code.replace(literal, f'"{other}"'), literal
    return code, None


class _Teacher(ScriptedTeacher):
    """Identifies a question by the whole opening of an attempt: another table may have the same text."""

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        turn = sum(message.role == "assistant" for message in messages)
        replies = self.scripts.get(_opening_text(messages[:2]), ())
        return Reply(text=replies[turn] if turn < len(replies) else "I do not know.")


def _opening_text(start: Sequence[Message]) -> str:
    system, user = start
    return f"{system.content}\0{user.content}"
