"""A program: filled steps from a table to an answer, as SQL, as pandas code and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from datagen.questions.programs.frame import Column, Frame
from datagen.questions.programs.step import ENDS, OVER_GROUPS, SELECTING, Step, steps
from datagen.questions.slots.bound import Bound, cell, column
from datagen.questions.slots.rows import several
from datagen.tables.column_profile import ColumnProfile

if TYPE_CHECKING:
    from datagen.questions.slots.kinds import SlotOf

FEWEST_ROWS = 5
COLUMNS = {"amount", "group", "comparable", "repeated", "text", "dates", "gappy", "reference"}


@dataclass(frozen=True)
class Filled:
    """A step with its slots filled, and the condition drawn into it."""

    step: Step
    bound: Mapping[str, Bound]
    inner: Filled | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns that it is about."""
        own = [str(self.bound[n].value) for n, s in self.step.slots.items() if s.kind in COLUMNS]
        return own + (self.inner.columns if self.inner else [])

    def sql(self, text: str, frame: Frame) -> str:
        words = {"rows": frame.rows}
        for name, slot in self.step.slots.items():
            words[name] = self.bound[name].sql
            if slot.kind in COLUMNS:
                words[f"{name}_made"] = str(frame.columns[str(self.bound[name].value)].made).lower()
        if self.inner:
            words["holds"] = f"({self.inner.sql(self.inner.step.sql, frame)})"
        if self.step.kind == "joins":
            ats = range(len(frame.tables[1].columns))
            words["joined"] = ", ".join(f"u.c{at} as u{at}" for at in ats)
        return text.format_map(words)

    def code(self, name: str) -> str:
        words = {slot: bound.literal for slot, bound in self.bound.items()}
        if self.inner:
            words["mask"] = self.inner.code(name)
        return self.step.code.strip().format_map({**words, "rows": name})

    def to_json(self) -> dict[str, Any]:
        values = {name: self.bound[name].value for name in self.step.slots}
        inner = {"condition": self.inner.to_json()} if self.inner else {}
        return {"step": self.step.name, **values, **inner}


Program = tuple[Filled, ...]


def shape(program: Program) -> str:
    return ".".join(filled.step.name for filled in program)


def code(program: Program) -> list[str]:
    """The pandas lines that put the answer into `answer`."""
    lines, name = [], "df"
    for filled in program:
        line = filled.code(name)
        if filled.step.kind == "conditions":
            line = f"rows = {name}[{line}]"
        lines += line.splitlines()
        name = "rows"
    return lines


def after(frame: Frame, filled: Filled) -> Frame:
    """The frame that a step makes of another. Raises Unasked where it lacks a column."""
    for name in filled.columns:
        frame.named(name)
    step, sql = filled.step, filled.sql(filled.step.sql, frame)
    if step.kind == "conditions":
        sql = f"select * from {frame.rows} where {sql}"
    elif step.makes:
        sql = f"select *, {sql} as {step.makes.name} from {frame.rows}"
    found = replace(frame, parts=(*frame.parts, sql))
    if step.kind == "joins":
        found = found.joined(str(filled.bound["r"].value))
    elif step.kind == "groups":
        found = found.grouped(filled.bound["c"])
    elif step.makes:
        made = ColumnProfile(
            name=step.makes.name,
            kind=step.makes.kind,
            meaning=step.makes.meaning,
            missing=0,
            distinct=FEWEST_ROWS,
        )
        found = found.add(made.name, Column(made, made.name, made=True, fresh=True))
    gives = step.gives | ({"count unknown"} if step.kind in SELECTING else set())
    return replace(found, facts=(found.facts | gives) - step.loses)


def to_json(program: Program) -> dict[str, Any]:
    """The program as JSON; `from_json` makes it again."""
    return {"steps": [filled.to_json() for filled in program]}


def from_json(frame: Frame, given: Mapping[str, Any]) -> Program:
    """The program over this table. Raises Unasked where the table lacks a column of it."""
    program = []
    for values in given["steps"]:
        program.append(fill(frame, values))
        if program[-1].step.kind not in ENDS:
            frame = after(frame, program[-1])
    return tuple(program)


def fill(frame: Frame, values: Mapping[str, Any]) -> Filled:
    step = steps()[values["step"]]
    bound = dict(frame.group) if step.kind in OVER_GROUPS else {}
    bound |= {name: _bound(slot, values[name], frame) for name, slot in step.slots.items()}
    return Filled(step, bound, fill(frame, values["condition"]) if step.condition else None)


def _bound(slot: SlotOf, value: Any, frame: Frame) -> Bound:
    if slot.words:
        literal, sql = slot.words[value]
        return Bound(value, value, literal, sql=sql)
    if slot.kind in COLUMNS:
        return frame.named(value)
    if slot.kind == "referred":
        names = [c.name for c in frame.tables[1].columns]
        return column(value, 1, names.index(value))
    if slot.kind == "other_table":
        return column(value)
    if slot.kind == "day_of":
        return Bound(value, value, f'"{value}"', sql=f"date '{value}'")
    return several(value) if isinstance(value, list) else cell(cast("Any", value))
