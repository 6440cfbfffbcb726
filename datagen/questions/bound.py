"""What stands in a slot of a question: one value, as the truth, a sentence and code have it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Bound:
    """A filled slot: the value the truth uses, as text in a wording, as a literal in code.

    `table` is the place of the table whose column this is.
    """

    value: JsonValue
    text: str
    literal: str
    table: int = 0


def column(name: str, table: int = 0) -> Bound:
    return Bound(name, f'"{name}"', json.dumps(name, ensure_ascii=False), table)


def cell(value: str | float | bool) -> Bound:
    """A value of a column: text in quotes, all else bare."""
    if isinstance(value, str):
        return Bound(value, f'"{value}"', json.dumps(value, ensure_ascii=False))
    return Bound(value, str(value), repr(value))
