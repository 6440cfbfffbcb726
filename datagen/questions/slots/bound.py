"""What stands in a slot of a question: one value, as a sentence, pandas code and SQL have it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue

from datagen.questions.database import constant


@dataclass(frozen=True)
class Bound:
    """A filled slot: its value, as text in a wording, as a literal in code and in SQL.

    `table` is the place of the table whose column this is.
    """

    value: JsonValue
    text: str
    literal: str
    table: int = 0
    sql: str = ""


def column(name: str, table: int = 0, at: int | None = None) -> Bound:
    """A column, the `at`-th of its table."""
    literal = json.dumps(name, ensure_ascii=False)
    return Bound(name, f'"{name}"', literal, table, "" if at is None else f"c{at}")


def cell(value: str | float | bool) -> Bound:
    """A value of a column: text in quotes, all else bare."""
    if isinstance(value, str):
        literal = json.dumps(value, ensure_ascii=False)
        return Bound(value, f'"{value}"', literal, sql=constant(value))
    return Bound(value, str(value), repr(value), sql=constant(value))
