"""The one renderer of what a model reads: teacher, export, training and evaluation all use it.

There are three styles. `brief` is what the bundled tiny model was trained on, byte for byte; `compact`
states the form of the answer in few tokens, for small models on a CPU; `full` is for all others. The fixed texts are the files beside this one; their hash is part of each episode's
provenance, as is the style.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.episode import Message, PromptStyle
from datagen.prompts.table_text import frames_text, table_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.episode import Question, TableRef
    from datagen.sandbox import CellResult

_FOLDER = Path(__file__).parent
SYSTEM = (_FOLDER / "system.txt").read_text("utf-8").strip()
COMPACT_SYSTEM = (_FOLDER / "compact_system.txt").read_text("utf-8").strip()
FULL_SYSTEM = (_FOLDER / "full_system.txt").read_text("utf-8").strip()
FULL_ANSWERS: dict[str, str] = tomllib.loads((_FOLDER / "full_answers.toml").read_text("utf-8"))
BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
NO_BLOCK = "Reply with one ```python block."
NO_ANSWER = "No answer submitted."
FULL_NO_BLOCK = "Nothing ran: the reply has to hold exactly one ```python block."
FULL_CUT_OFF = "Nothing ran: the reply was cut off before its end. Write less."
FULL_NOTHING = "The code ran and printed nothing."
FULL_TURNS = "({left} turns left)"
FULL_LAST = "(last turn: submit the answer now)"
FULL_QUESTION = "Question: {question}\nSubmit {form}."
FULL_HINT = "Hint: {hint}"
OUTPUT_LIMIT = 2000
FULL_OUTPUT_LIMIT = 6000
TURN_LIMIT: dict[PromptStyle, int] = {"brief": 3, "compact": 2, "full": 8}


def opening(
    question: Question,
    tables: Sequence[TableRef],
    style: PromptStyle = "brief",
    *,
    hinted: bool = False,
    turns: int | None = None,
) -> list[Message]:
    """The messages that open every attempt: how to answer, the tables, and last the question.

    What is the same for all questions about the same tables comes first, so that providers can cache
    it. The hint is shown only when `hinted`.
    """
    if style == "brief":
        system = SYSTEM
        asked = "\n".join([*map(_describe, tables), question.text])
    elif style == "compact":
        system = COMPACT_SYSTEM
        form = FULL_QUESTION.format(question=question.text, form=answer_form(question))
        asked = "\n".join([*map(_describe, tables), form])
    else:
        told = FULL_SYSTEM.format(
            output_limit=FULL_OUTPUT_LIMIT,
            turns=turns or TURN_LIMIT[style],
            frames=frames_text(tables),
        )
        system = "\n\n".join([told, *map(table_text, tables)])
        asked = FULL_QUESTION.format(question=question.text, form=answer_form(question))
    if hinted and question.hint is not None:
        asked += "\n" + FULL_HINT.format(hint=question.hint)
    return [Message(role="system", content=system), Message(role="user", content=asked)]


def answer_form(question: Question) -> str:
    """What to submit: the answer's type, its stated precision and its unit, in words."""
    precision = ""
    if question.decimals is not None:
        precision = f" to {question.decimals} decimals"
    elif question.significant is not None:
        precision = f" to {question.significant} significant digits"
    form = FULL_ANSWERS[question.answer_type].format(precision=precision)
    return f"{form}, in {question.units}" if question.units else form


def _describe(table: TableRef) -> str:
    return "\n".join([table.name, *(f"{column.name} {column.kind}" for column in table.columns)])


def code_of(reply: str) -> str | None:
    """The code of the reply's only python block; None when it has none or several."""
    blocks = BLOCK.findall(reply)
    return blocks[0].rstrip("\n") if len(blocks) == 1 else None


def as_reply(code: str) -> str:
    """The reply that holds this code: the inverse of `code_of`."""
    return f"```python\n{code}\n```"


def feedback(
    result: CellResult | None, style: PromptStyle = "brief", *, left: int = 0, cut_off: bool = False
) -> str:
    """Return the message to the model after a turn that submitted nothing, with `left` turns left.

    `result` is None where nothing ran: the reply held no block, or was `cut_off`.
    """
    shown = _shown(result)
    if style != "full":
        return NO_BLOCK if shown is None else shown[:OUTPUT_LIMIT] or NO_ANSWER
    if shown is None:
        shown = FULL_CUT_OFF if cut_off else FULL_NO_BLOCK
    turns = FULL_LAST if left == 1 else FULL_TURNS.format(left=left)
    return f"{_capped(shown, FULL_OUTPUT_LIMIT) or FULL_NOTHING}\n{turns}"


def _shown(result: CellResult | None) -> str | None:
    if result is None:
        return None
    return "\n".join(part for part in (result.stdout.rstrip(), result.stderr.rstrip()) if part)


def _capped(text: str, limit: int) -> str:
    """The head and the tail of a long text, with a line saying how much is left out between them."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def prompt_hash(style: PromptStyle = "brief") -> str:
    """SHA-256 of all fixed texts a model reads in this style."""
    texts = [SYSTEM, NO_BLOCK, NO_ANSWER]
    if style == "compact":
        texts = [
            COMPACT_SYSTEM,
            *FULL_ANSWERS.values(),
            FULL_QUESTION,
            FULL_HINT,
            NO_BLOCK,
            NO_ANSWER,
        ]
    elif style == "full":
        texts = [FULL_SYSTEM, *FULL_ANSWERS.values(), FULL_NO_BLOCK, FULL_CUT_OFF, FULL_NOTHING]
        texts += [FULL_TURNS, FULL_LAST, FULL_QUESTION, FULL_HINT]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
