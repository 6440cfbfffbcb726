"""The one renderer of what a model reads: teacher, export, training and evaluation all use it.

The system text is the file `system.txt`; its hash is part of each episode's provenance.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.episode import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.episode import Question, TableRef
    from datagen.sandbox import CellResult

SYSTEM = (Path(__file__).parent / "system.txt").read_text("utf-8").strip()
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
NO_BLOCK = "Reply with one ```python block."
NO_ANSWER = "No answer submitted."
OUTPUT_LIMIT = 2000


def opening(question: Question, tables: Sequence[TableRef]) -> list[Message]:
    """The messages that open every attempt: how to answer, the columns, the question."""
    return [
        Message(role="system", content=SYSTEM),
        Message(role="user", content="\n".join([*map(_describe, tables), question.text])),
    ]


def _describe(table: TableRef) -> str:
    return "\n".join([table.name, *(f"{column.name} {column.kind}" for column in table.columns)])


def code_of(reply: str) -> str | None:
    """The code of the reply's only python block; None when it has none or several."""
    blocks = BLOCK.findall(reply)
    return blocks[0].rstrip("\n") if len(blocks) == 1 else None


def as_reply(code: str) -> str:
    """The reply that holds this code: the inverse of `code_of`."""
    return f"```python\n{code}\n```"


def feedback(result: CellResult | None) -> str:
    """What the model is told after a turn that submitted nothing; None means it sent no block."""
    if result is None:
        return NO_BLOCK
    shown = "\n".join(part for part in (result.stdout.rstrip(), result.stderr.rstrip()) if part)
    return shown[:OUTPUT_LIMIT] or NO_ANSWER


def prompt_hash() -> str:
    """SHA-256 of all fixed texts a model reads."""
    return hashlib.sha256(f"{SYSTEM}\0{NO_BLOCK}\0{NO_ANSWER}".encode()).hexdigest()
