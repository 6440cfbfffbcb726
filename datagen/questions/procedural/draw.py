"""Draws programs: a walk over the operators that fit what there is, those used least first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datagen.questions.procedural.program import (
    ROW_FINALS,
    ROW_STEPS,
    SERIES_ENDS,
    Program,
    assemble,
)
from datagen.questions.procedural.state import Answer, Refused, Rows, State
from datagen.questions.procedural.step import Condition, Step
from datagen.questions.procedural.steps.conditions import CONDITIONS
from datagen.questions.procedural.steps.groups import GROUPS
from datagen.questions.procedural.steps.join import Join
from datagen.questions.procedural.steps.series import SERIES_STEPS

ROW_STEP_COUNTS = (0, 1, 1, 1, 2, 2, 2, 3)
SERIES_STEP_COUNTS = (0, 0, 0, 1, 1, 2)
GROUPED_SHARE = 0.5
SAME_OP = 2


def draw(table: Rows, rng: random.Random, used: Counter[str]) -> tuple[Program, Answer]:
    """A program and its answer by the plain route. Raises Refused where the walk ends nowhere.

    `used` counts the operators of earlier programs and weighs against them.
    """
    walk = _Walk(table, rng, used)
    if table.others:
        walk.step((Join,))
    grouped = rng.random() < GROUPED_SHARE
    for _ in range(rng.choice(ROW_STEP_COUNTS if grouped else ROW_STEP_COUNTS[1:])):
        walk.step(ROW_STEPS)
    if grouped:
        walk.step(GROUPS)
        for _ in range(rng.choice(SERIES_STEP_COUNTS)):
            walk.step(SERIES_STEPS, needed=False)
        walk.step(SERIES_ENDS)
    else:
        walk.step(ROW_FINALS)
    assert isinstance(walk.state, Answer)
    return assemble(walk.steps), walk.state


class _Walk:
    def __init__(self, table: Rows, rng: random.Random, used: Counter[str]) -> None:
        self.state: State = table
        self.steps: list[Step] = []
        self._rng = rng
        self._used = used

    def step(self, operators: Sequence[type[Any]], *, needed: bool = True) -> None:
        """Take one of the operators; Refused when a needed one cannot be had."""
        left = [op for op in operators if self._may_follow(op)]
        while left:
            weights = [1 / (1 + self._used[op.op]) for op in left]
            operator = self._rng.choices(left, weights)[0]
            drawn = operator.draw(self.state, self._rng)
            if drawn is not None and not self._conditioned(drawn):
                self.state = drawn.plain(self.state)
                self.steps.append(drawn)
                return
            left.remove(operator)
        if needed:
            raise Refused("nothing fits the table")

    def _conditioned(self, step: Step) -> bool:
        """Whether the step has a condition on a column that an earlier one was about."""
        columns = [found.column for earlier in (*self.steps, step) for found in conditions(earlier)]
        return len(set(columns)) < len(columns)

    def _may_follow(self, operator: type[Step]) -> bool:
        before = [step.op for step in self.steps]
        if operator in CONDITIONS:
            return before.count(operator.op) < SAME_OP
        return operator.op not in before


def conditions(step: Step) -> list[Condition]:
    """The step, if it is a condition, or the one inside it."""
    inner = getattr(step, "condition", step)
    return [inner] if isinstance(inner, Condition) else []
