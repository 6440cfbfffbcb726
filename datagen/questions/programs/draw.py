"""Draws programs: a walk over the steps that fit what there is, those used least first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.questions.family import Unasked
from datagen.questions.programs.frame import Frame, drawing
from datagen.questions.programs.program import Filled, Program, after
from datagen.questions.programs.step import ENDS, Step, of_kind

if TYPE_CHECKING:
    from datagen.questions.slots.bound import Bound

ROW_STEP_COUNTS = (0, 0, 1, 1, 1, 1, 2, 3)
SERIES_STEP_COUNTS = (0, 0, 0, 0, 1, 1, 2)
GROUPED_SHARE = 0.5
SAME_CONDITION = 2


def draw(table: Frame, rng: random.Random, used: Counter[str]) -> Program:
    """A program over this table. Raises Unasked where the walk ends nowhere.

    `used` counts the steps of earlier programs and weighs against them.
    """
    walk = _Walk(table, rng, used)
    if len(table.tables) > 1:
        walk.step(of_kind("joins"))
    grouped = rng.random() < GROUPED_SHARE
    for _ in range(rng.choice(ROW_STEP_COUNTS if grouped else ROW_STEP_COUNTS[2:])):
        walk.step(of_kind("conditions", "selections", "derivations"))
    if grouped:
        walk.step(of_kind("groups"))
        for _ in range(rng.choice(SERIES_STEP_COUNTS)):
            walk.step(of_kind("series"), needed=False)
        walk.step(of_kind("group_ends"))
    else:
        walk.step(of_kind("row_ends"))
    return tuple(walk.program)


class _Walk:
    def __init__(self, frame: Frame, rng: random.Random, used: Counter[str]) -> None:
        self.frame = frame
        self.program: list[Filled] = []
        self._rng = rng
        self._used = used

    def step(self, steps: Sequence[Step], *, needed: bool = True) -> None:
        """Take one of the steps; Unasked when a needed one cannot be had."""
        left = [step for step in steps if self._may_follow(step)]
        while left:
            step = self._rng.choices(left, [1 / (1 + self._used[s.name]) for s in left])[0]
            filled = self._filled(step)
            if filled is not None and not self._conditioned(filled):
                self.program.append(filled)
                if step.kind not in ENDS:
                    self.frame = after(self.frame, filled)
                return
            left.remove(step)
        if needed:
            raise Unasked("nothing fits the table")

    def _filled(self, step: Step, beside: Bound | None = None) -> Filled | None:
        """The step with slots drawn from the rows so far; `beside`: a column that is taken."""
        draw = drawing(self.frame, self._rng, raw=step.kind == "derivations")
        if beside:
            draw.bound["beside"] = beside
        for name, slot in step.slots.items():
            bound = slot(draw)
            if bound is None:
                return None
            draw.bound[name] = bound
        if not step.condition:
            return Filled(step, draw.bound)
        inner = self._filled(self._rng.choice(of_kind("conditions")), draw.bound.get("c"))
        return inner and Filled(step, draw.bound, inner)

    def _conditioned(self, filled: Filled) -> bool:
        """Whether it has a condition on a column that an earlier one was about."""
        found = [one.columns[0] for step in (*self.program, filled) for one in conditions(step)]
        return len({*found}) < len(found)

    def _may_follow(self, step: Step) -> bool:
        times = sum(filled.step.name == step.name for filled in self.program)
        most = SAME_CONDITION if step.kind == "conditions" else 1
        return times < most and step.needs <= self.frame.facts


def conditions(filled: Filled) -> list[Filled]:
    """The step, if it is a condition, or the one inside it."""
    found = filled.inner or filled
    return [found] if found.step.kind == "conditions" else []
