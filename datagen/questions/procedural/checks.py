"""Whether a program's answer is worth asking for: every step matters, and the answer says something."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from datagen.judge.compare import judge
from datagen.questions.procedural.program import Program
from datagen.questions.procedural.state import Answer, Refused, Rows
from datagen.questions.procedural.step import Step
from datagen.questions.procedural.steps.derive import AgainstOwnGroup
from datagen.questions.procedural.steps.groups import GroupAggregate, GroupSize
from datagen.questions.procedural.steps.join import Join
from datagen.questions.procedural.steps.relation import Correlation, Slope, WeightedMean

MOST_DIGITS = 6
PRECISE = 2
FEWEST_UNITS = 100  # of the last decimal: three digits show
LARGEST = 1e12
COLUMN_FIELDS = {"column", "first", "second", "x", "y", "weight", "by", "wanted", "day"}


def decimals_of(answer: Answer) -> int | None:
    """The decimals to ask for: 2, or as many as show three digits of a small number."""
    if answer.type != "number":
        return None
    decimals = PRECISE
    while abs(answer.value) * 10**decimals < FEWEST_UNITS and decimals < MOST_DIGITS:
        decimals += 1
    return decimals


def check(program: Program, table: Rows, answer: Answer) -> None:
    """Raise Refused when the answer is trivial or a step could go without changing it."""
    _says_something(answer)
    _uses_what_it_joins(program, table)
    _relates_two_things(program)
    decimals = decimals_of(answer)
    for kind, simpler in simpler_programs(program, table):
        try:
            other = simpler.run(table)
        except Refused:
            continue
        if _same(other, answer, decimals):
            raise Refused(kind)


def _same(other: Answer, answer: Answer, decimals: int | None) -> bool:
    return judge(other.value, answer.value, answer.type, decimals).correct


def _uses_what_it_joins(program: Program, table: Rows) -> None:
    for at, step in enumerate(program.steps):
        if isinstance(step, Join):
            joined = set(table.others[step.table].columns) - {step.key}
            if not joined & {name for later in program.steps[at + 1 :] for name in _names(later)}:
                raise Refused("a joined table that is not used")


def _relates_two_things(program: Program) -> None:
    """Refuse to relate a column that the program made to one that it was made from."""
    if isinstance(program.end, Correlation | Slope | WeightedMean):
        related = {*_names(program.end)}
        for step in program.rows:
            if related & {*step.makes()} and related & {*_names(step)}:
                raise Refused("a column related to itself")


def _names(step: Step) -> Iterator[str]:
    """The values of the fields that name columns, in inner steps too."""
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if isinstance(value, Step):
            yield from _names(value)
        elif field.name in COLUMN_FIELDS:
            yield value


def _says_something(answer: Answer) -> None:
    value = answer.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    decimals = decimals_of(answer)
    if round(value, decimals) in {0, 1}:
        raise Refused("the answer is 0 or 1")
    if abs(value) > LARGEST:
        raise Refused("a number beyond what floats add exactly")
    if decimals is None:
        return
    scaled = abs(value) * 10**decimals
    if scaled < FEWEST_UNITS:
        raise Refused("a number too small to state")
    if abs(scaled % 1 - 0.5) < max(1e-6, scaled * 1e-11):
        raise Refused("a rounding border")


def simpler_programs(program: Program, table: Rows) -> Iterator[tuple[str, Program]]:
    """What the program becomes without a step, or with a step made neutral, with the reason to give."""
    for at, step in enumerate(program.rows):
        rest = (*program.rows[:at], *program.rows[at + 1 :])
        stand_in = step.instead()
        yield "a dead step", _renamed(replace(program, rows=rest), stand_in, at)
        if len(program.rows) > 1:
            yield "a dead step", replace(program, rows=(step,))
        if isinstance(step, AgainstOwnGroup):
            for other in _others(step, table):
                rows = (*program.rows[:at], other, *program.rows[at + 1 :])
                yield "a column that does not matter", replace(program, rows=rows)
    if program.rows:
        yield "the answer of the whole table", replace(program, rows=())
    for at, _ in enumerate(program.series):
        rest_of_series = (*program.series[:at], *program.series[at + 1 :])
        yield "a dead step", replace(program, series=rest_of_series)
    if len(program.series) > 1:
        yield "a dead step", replace(program, series=())
    if isinstance(program.group, GroupAggregate):
        size = GroupSize(program.group.by)
        yield "the answer of the groups' sizes", replace(program, group=size)


def _others(step: AgainstOwnGroup, table: Rows) -> list[AgainstOwnGroup]:
    """The step over another column: its average share is the same for all of them."""
    names = [column.name for column in table.having("amount") if column.name != step.column]
    return [replace(step, column=name) for name in names[:2]]


def _renamed(program: Program, names: dict[str, str], start: int) -> Program:
    """The program with other columns in the steps from `start` on."""
    if not names:
        return program
    return replace(
        program,
        rows=tuple(
            _with(step, names) if at >= start else step for at, step in enumerate(program.rows)
        ),
        group=program.group and _with(program.group, names),
        end=_with(program.end, names),
    )


def _with(step: Any, names: dict[str, str]) -> Any:
    """The step with every field that names one of these columns changed, in inner steps too."""
    changes = {}
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if isinstance(value, Step):
            changes[field.name] = _with(value, names)
        elif isinstance(value, str) and field.name in COLUMN_FIELDS and value in names:
            changes[field.name] = names[value]
    return replace(step, **changes)
