"""A program in plain English: every step with its parameters, what is asked, and the answer's form."""

from __future__ import annotations

import random
from collections.abc import Sequence

from datagen.questions.procedural.program import Program
from datagen.questions.procedural.state import Answer
from datagen.questions.procedural.step import (
    Condition,
    RowEnd,
    RowStep,
    SeriesEnd,
    joined,
)
from datagen.questions.procedural.steps.groups import GroupShare, GroupSize
from datagen.questions.procedural.steps.row_ends import Count

ALL, THESE = "all rows", "these rows"
AMONG = ("among", "looking only at", "considering only")
ROUNDING = (
    "Round the answer to {} decimals.",
    "Give the answer rounded to {} decimals.",
    "Answer with a number rounded to {} decimals.",
)
FORMS = {
    "integer": "",
    "text": "",
    "boolean": "Answer True or False.",
    "date": "Answer with a date as YYYY-MM-DD.",
    "list": "",
}


def question_text(program: Program, answer: Answer, decimals: int | None) -> str:
    """The question as a person would put it, in a few sentences; each program has one wording."""
    rng = random.Random(str(program))
    said, conditions, these = _rows(program.rows)
    among = _among(conditions, these, rng.choice(AMONG))
    if program.group is None:
        said.append(_row_question(program, conditions, these, among))
    else:
        said += _group_question(program, among)
    said += [note for note in answer.notes if note not in said]
    form = FORMS.get(answer.type) or ""
    if decimals is not None:
        form = rng.choice(ROUNDING).format(decimals)
    return " ".join([*said, form]).strip()


def _rows(steps: Sequence[RowStep]) -> tuple[list[str], list[Condition], str]:
    """Sentences for the row steps, the last conditions, which the question can say, and which rows."""
    said: list[str] = []
    these = ALL
    pending: list[Condition] = []
    for step in steps:
        if isinstance(step, Condition):
            pending.append(step)
            continue
        if pending:
            said.append(_conditions(pending, these))
            these, pending = THESE, []
        said.append(step.sentence(these))
        if step.narrows:
            these = THESE
    return said, pending, these


def _conditions(conditions: Sequence[Condition], these: str) -> str:
    start = "Take the rows" if these == ALL else "Of these, keep the rows"
    return f"{start} where {_clauses(conditions)}."


def _clauses(conditions: Sequence[Condition]) -> str:
    return joined([condition.clause() for condition in conditions])


def _among(conditions: Sequence[Condition], these: str, lead: str) -> str:
    if conditions:
        which = f"{lead} the rows" if these == ALL else "among those of them"
        return f"{which} where {_clauses(conditions)}"
    return "" if these == ALL else "among these rows"


def _row_question(program: Program, conditions: Sequence[Condition], these: str, among: str) -> str:
    assert isinstance(program.end, RowEnd)
    if isinstance(program.end, Count):
        if conditions:
            which = "How many rows are there" if these == ALL else "In how many of these rows"
            link = "where" if these == ALL else "is it true that"
            return f"{which} {link} {_clauses(conditions)}?"
        return "How many rows are left?"
    asked = program.end.question(THESE if among else ALL)
    return _capital(f"{among}, {asked}" if among else asked)


def _group_question(program: Program, among: str) -> list[str]:
    group, end = program.group, program.end
    assert isinstance(end, SeriesEnd)
    assert group is not None
    if not program.series and end.direct and not isinstance(group, GroupShare):
        asked = end.question(group.by, group.measure())
        return [_capital(f"{among}, {asked}" if among else asked)]
    if isinstance(group, GroupSize):
        computed = f'count the rows for each "{group.by}".'
    else:
        computed = f'for each "{group.by}", compute the {group.measure()}.'
    said = [_capital(f"{among}, {computed}" if among else computed)]
    for opening, step in zip(("Then", "After that,"), program.series, strict=False):
        said.append(f"{opening} {step.sentence(group.by)}.")
    short = "resulting value" if program.series else group.short
    return [*said, _capital(end.question(group.by, short))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
