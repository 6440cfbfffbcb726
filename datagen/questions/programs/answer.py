"""The answer of a program by one query, which also says whether it is the only one and what has to be noted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datagen.questions.family import Unasked
from datagen.questions.programs.frame import Frame
from datagen.questions.programs.program import FEWEST_ROWS, Filled, Program, after
from datagen.questions.programs.step import SELECTING

if TYPE_CHECKING:
    from datagen.judge.answer_types import AnswerType

TYPES: Sequence[tuple[type, AnswerType]] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (list, "list"),
)


@dataclass(frozen=True)
class Answer:
    """The value a program submits, before rounding."""

    value: Any
    type: AnswerType
    notes: tuple[str, ...] = ()


def answer(frame: Frame, program: Program, *, checked: bool = True) -> Answer:
    """The answer by one query. Raises Unasked without an answer, or (`checked`) with several."""
    asked: list[_Asked] = []
    for filled in program[:-1]:
        asked += _asked(filled, frame) if checked else []
        frame = after(frame, filled)
        asked += _left(filled, frame) if checked else []
    end = program[-1]
    for name in end.columns:
        frame.named(name)
    asked += _asked(end, frame) if checked else []
    asked.sort(key=lambda one: (one.rows, one.whole))
    parts = [*_flags(asked), end.sql(end.step.sql, frame)]
    columns = ", ".join(f"q{at}.f" for at in range(len(parts)))
    tables = ", ".join(f"({part}) q{at}(f)" for at, part in enumerate(parts))
    found = frame.fetch(f"select {columns} from {tables}")
    if not found:
        raise Unasked("no value")
    *flags, value = found[0]
    notes = []
    for one, holds in zip(asked, [flag for some in flags for flag in some], strict=True):
        if holds and one.reason:
            raise Unasked(one.reason)
        if holds:
            notes.append((one.at, one.text))
    if value is None:
        raise Unasked("no value")
    kind: AnswerType = next((t for python, t in TYPES if isinstance(value, python)), "text")
    kind = end.step.answer or kind
    return Answer(value, kind, tuple(dict.fromkeys(text for _, text in sorted(notes))))


@dataclass(frozen=True)
class _Asked:
    """SQL that says whether a reason to refuse holds, or whether a note has to be said."""

    sql: str
    rows: str
    at: int
    reason: str | None = None
    text: str = ""

    @property
    def whole(self) -> bool:
        return self.sql.lstrip().startswith("select")


def _flags(asked: Sequence[_Asked]) -> Iterator[str]:
    """A select of a list of booleans for each whole select, and one for all aggregates of the same rows."""
    for (rows, whole), some in itertools.groupby(asked, lambda one: (one.rows, one.whole)):
        if whole:
            yield from (f"select [({one.sql})]" for one in some)
        else:
            yield f"select [{', '.join(one.sql for one in some)}] from {rows}"


def _asked(filled: Filled, frame: Frame) -> Iterator[_Asked]:
    at, rows = len(frame.parts), frame.rows
    for holder in (filled.inner, filled):
        if holder is None:
            continue
        for reason, sql in holder.step.refuse.items():
            yield _Asked(holder.sql(sql, frame), rows, at, reason)
    shown = {name: bound.text for name, bound in filled.bound.items()}
    for slot in filled.step.leaves_out:
        if not frame.columns[str(filled.bound[slot].value)].made:
            text = f"Skip missing {shown[slot]}."
            yield _Asked(f"lacks({filled.bound[slot].sql})", rows, at, None, text)
    for text, sql in filled.step.notes.items():
        yield _Asked(filled.sql(sql, frame), rows, at, None, text.format_map(shown))
    if filled.step.kind == "groups":
        text = f"No group for missing {shown['c']}."
        yield _Asked(f"lacks({filled.bound['c'].sql})", rows, at, None, text)
    if filled.inner and filled.inner.step.name != "keep_given":
        about = frame.named(filled.inner.columns[0])
        text = f"A row without {about.text} does not meet the condition, but counts as a row."
        yield _Asked(f"lacks({about.sql})", rows, at, None, text)


def _left(filled: Filled, frame: Frame) -> Iterator[_Asked]:
    """What has to hold for all that a step leaves."""
    at, rows = len(frame.parts), frame.rows
    if filled.step.kind in {*SELECTING, "joins"}:
        yield _Asked(f"count(*) < {FEWEST_ROWS}", rows, at, "too few rows are left")
    elif filled.step.kind in {"groups", "series"}:
        yield _Asked("count(*) < 2", rows, at, "fewer than two groups")
        yield _Asked("bool_or(score is null)", rows, at, "a group without a value")
