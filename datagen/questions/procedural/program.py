"""A program: steps from a table to an answer, as JSON, in plain Python and as pandas code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from datagen.questions.procedural.state import Answer, Rows
from datagen.questions.procedural.step import (
    GroupStep,
    RowEnd,
    RowStep,
    SeriesEnd,
    SeriesStep,
    Step,
)
from datagen.questions.procedural.steps.conditions import CONDITIONS
from datagen.questions.procedural.steps.derive import DERIVATIONS
from datagen.questions.procedural.steps.derive_parts import PARTS
from datagen.questions.procedural.steps.groups import GROUPS
from datagen.questions.procedural.steps.join import Join
from datagen.questions.procedural.steps.relation import RELATIONS
from datagen.questions.procedural.steps.row_ends import ROW_ENDS
from datagen.questions.procedural.steps.row_parts import ROW_PARTS
from datagen.questions.procedural.steps.selections import SELECTIONS
from datagen.questions.procedural.steps.sequence import InOrder
from datagen.questions.procedural.steps.series import SERIES_STEPS
from datagen.questions.procedural.steps.series_ends import LABEL_ENDS
from datagen.questions.procedural.steps.series_values import VALUE_ENDS

ROW_STEPS: tuple[type[RowStep], ...] = (
    *CONDITIONS,
    *SELECTIONS,
    Join,
    *DERIVATIONS,
    *PARTS,
    InOrder,
)
ROW_FINALS: tuple[type[RowEnd], ...] = (*ROW_ENDS, *ROW_PARTS, *RELATIONS)
SERIES_ENDS: tuple[type[SeriesEnd], ...] = (*LABEL_ENDS, *VALUE_ENDS)
OPERATORS: Mapping[str, type[Step]] = {
    step.op: step for step in (*ROW_STEPS, *GROUPS, *SERIES_STEPS, *ROW_FINALS, *SERIES_ENDS)
}


@dataclass(frozen=True)
class Program:
    """Row steps, then either an end of rows, or a group step, series steps and an end of series."""

    rows: tuple[RowStep, ...]
    group: GroupStep | None
    series: tuple[SeriesStep, ...]
    end: RowEnd | SeriesEnd

    @property
    def steps(self) -> tuple[Step, ...]:
        group = () if self.group is None else (self.group,)
        return (*self.rows, *group, *self.series, self.end)

    @property
    def shape(self) -> str:
        return ".".join(step.op for step in self.steps)

    def run(self, rows: Rows) -> Answer:
        """The answer in plain Python. Raises Refused where there is not exactly one."""
        for row_step in self.rows:
            rows = row_step.plain(rows)
        if self.group is None:
            assert isinstance(self.end, RowEnd)
            return self.end.plain(rows)
        series = self.group.plain(rows)
        for series_step in self.series:
            series = series_step.plain(series)
        assert isinstance(self.end, SeriesEnd)
        return self.end.plain(series)

    def code(self) -> list[str]:
        """The pandas lines that put the answer into `answer`."""
        lines, name = [], "df"
        for row_step in self.rows:
            lines += row_step.code(name).splitlines()
            name = "rows"
        if self.group is None:
            assert isinstance(self.end, RowEnd)
            before = self.end.before(name)
            if before is not None:
                lines, name = [*lines, before], "pairs"
            return [*lines, f"answer = {self.end.expression(name)}"]
        assert isinstance(self.end, SeriesEnd)
        return [
            *lines,
            f"groups = {self.group.expression(name)}",
            *(step.code() for step in self.series),
            f"answer = {self.end.expression()}",
        ]


def to_json(program: Program) -> dict[str, Any]:
    """The program as JSON; `from_json` makes it again."""
    return {"steps": [_step_to_json(step) for step in program.steps]}


def from_json(params: Mapping[str, Any]) -> Program:
    """The program of a question's `params`. Raises KeyError or TypeError when they are not one."""
    return assemble([_step_from_json(step) for step in params["steps"]])


def assemble(steps: Sequence[Step]) -> Program:
    *before, end = steps
    return Program(
        rows=tuple(step for step in before if isinstance(step, RowStep)),
        group=next((step for step in before if isinstance(step, GroupStep)), None),
        series=tuple(step for step in before if isinstance(step, SeriesStep)),
        end=cast("RowEnd | SeriesEnd", end),
    )


def _step_to_json(step: Step) -> dict[str, Any]:
    fields = {field.name: getattr(step, field.name) for field in dataclasses.fields(step)}
    return {
        "op": step.op,
        **{
            name: _step_to_json(value)
            if isinstance(value, Step)
            else [*value]
            if isinstance(value, tuple)
            else value
            for name, value in fields.items()
        },
    }


def _step_from_json(params: Mapping[str, Any]) -> Step:
    fields = {
        name: _step_from_json(value)
        if isinstance(value, dict)
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in params.items()
        if name != "op"
    }
    return OPERATORS[params["op"]](**fields)
