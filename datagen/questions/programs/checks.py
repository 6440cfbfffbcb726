"""Whether a program's answer is worth asking for: every step matters, and the answer says something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from datagen.judge.compare import judge
from datagen.questions.family import Unasked
from datagen.questions.programs.answer import Answer, answer
from datagen.questions.programs.frame import Frame
from datagen.questions.programs.program import COLUMNS, Filled, Program, to_json
from datagen.questions.programs.step import steps

if TYPE_CHECKING:
    from datagen.questions.slots.bound import Bound

MOST_DIGITS = 6
PRECISE = 2
FEWEST_UNITS = 100  # of the last decimal: three digits show
LARGEST = 1e12


def decimals_of(found: Answer) -> int | None:
    """The decimals to ask for: 2, or as many as show three digits of a small number."""
    if found.type != "number":
        return None
    decimals = PRECISE
    while abs(found.value) * 10**decimals < FEWEST_UNITS and decimals < MOST_DIGITS:
        decimals += 1
    return decimals


def _uses_its_steps(program: Program, table: Frame) -> None:
    """Raise Unasked where the steps alone show that the question says nothing."""
    for at, filled in enumerate(program):
        later = {name for other in program[at + 1 :] for name in other.columns}
        if filled.step.kind == "joins":
            joined = {c.name for c in table.tables[1].columns} - {filled.bound["r"].value}
            if not joined & later:
                raise Unasked("a joined table that is not used")
        makes = filled.step.makes
        if makes and makes.name not in later:
            raise Unasked("a dead step")
        if makes and program[-1].step.relates and later & {*filled.columns}:
            raise Unasked("a column related to itself")


def solve(program: Program, table: Frame) -> Answer:
    """The answer. Raise Unasked where it is trivial, a step could go without changing it, or there are more.

    What costs least is looked at first.
    """
    _uses_its_steps(program, table)
    found = answer(table, program, checked=False)
    _says_something(found)
    decimals = decimals_of(found)
    for reason, simpler in simpler_programs(program):
        if _gives(simpler, table, found, decimals):
            raise Unasked(reason)
    return answer(table, program)


def _gives(program: Program, table: Frame, found: Answer, decimals: int | None) -> bool:
    try:
        other = answer(table, program, checked=False)
    except Unasked:
        return False
    return judge(other.value, found.value, found.type, decimals).correct


def _says_something(found: Answer) -> None:
    value = found.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    decimals = decimals_of(found)
    if round(abs(value), decimals) in {0, 1}:
        raise Unasked("the answer is 0 or 1")
    if not abs(value) <= LARGEST:
        raise Unasked("a number beyond what floats add exactly")
    if decimals is None:
        return
    scaled = abs(value) * 10**decimals
    if scaled < FEWEST_UNITS:
        raise Unasked("a number too small to state")
    if abs(scaled % 1 - 0.5) < max(1e-6, scaled * 1e-11):
        raise Unasked("a rounding border")


def simpler_programs(program: Program) -> Iterator[tuple[str, Program]]:
    """What the program becomes without some steps, or with the groups' sizes, with the reason to give."""
    seen = {str(to_json(program))}
    for reason, simpler in _simpler(program):
        if (text := str(to_json(simpler))) not in seen:
            seen.add(text)
            yield reason, simpler


def _simpler(program: Program) -> Iterator[tuple[str, Program]]:
    *before, end = program
    series = tuple(filled for filled in before if filled.step.kind == "series")
    group = tuple(filled for filled in before if filled.step.kind == "groups")
    rows = tuple(before[: len(before) - len(series) - len(group)])
    rest = (*group, *series, end)
    for at in range(len(rows)):
        yield "a dead step", _without(rows, at, rest)
    for at in range(len(series)):
        yield "a dead step", (*rows, *group, *series[:at], *series[at + 1 :], end)
    yield "a dead step", (*rows, *group, end)
    for filled in rows:
        yield "a dead step", (filled, *rest)
    yield "the answer of the whole table", rest
    if group and "n" in group[0].bound:
        size = Filled(steps()["group_size"], {"c": group[0].bound["c"]})
        yield "the answer of the groups' sizes", (*rows, size, *series, end)


def _without(rows: Program, at: int, rest: Program) -> Program:
    """The program without a step; what it makes is, in later steps, the column it is made from."""
    gone = rows[at]
    later = (*rows[at + 1 :], *rest)
    if gone.step.makes and "n" in gone.bound:
        later = tuple(_renamed(filled, gone.step.makes.name, gone.bound["n"]) for filled in later)
    return (*rows[:at], *later)


def _renamed(filled: Filled, name: str, stand_in: Bound) -> Filled:
    bound = {
        slot: stand_in if filled.step.slots[slot].kind in COLUMNS and found.value == name else found
        for slot, found in filled.bound.items()
        if slot in filled.step.slots
    }
    inner = filled.inner and _renamed(filled.inner, name, stand_in)
    return replace(filled, bound={**filled.bound, **bound}, inner=inner)
