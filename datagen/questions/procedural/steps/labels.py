"""Labels: the values that groups and conditions are about."""

from __future__ import annotations

from typing import Any

from datagen.judge.answer_types import AnswerType
from datagen.questions.procedural.state import Rows
from datagen.questions.procedural.step import (
    words,
)


def label_words(value: object) -> str:
    """A label as a question shows it: text in quotes, a number as it is."""
    return f'"{value}"' if isinstance(value, str) else words(value)


def present_labels(rows: Rows, name: str) -> list[Any]:
    return sorted(set(rows.present(name)))


def label_type(kind: str) -> AnswerType:
    """The answer type of a label of a column of this kind."""
    return "integer" if kind == "integer" else "boolean" if kind == "boolean" else "text"
