"""Proposed questions: a model looks at the tables in the sandbox and thinks up questions with hints.

Their truth is not known: attempts that did not see the hint have to agree with one that did.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from datagen.episode import Difficulty, Message, Question, stable_id
from datagen.episodes.agent import Attempt
from datagen.episodes.counts import DIFFICULTIES
from datagen.judge.answer_types import ANSWER_TYPES, kind_of, value_of_text
from datagen.prompts.render import FULL_OUTPUT_LIMIT, TURN_LIMIT
from datagen.prompts.table_text import frames_text, table_text
from datagen.questions.asked import Asked

if TYPE_CHECKING:
    from datagen.episode import TableRef
    from datagen.models.protocol import Model
    from datagen.sandbox import Sandbox

SYSTEM = (Path(__file__).parents[1] / "prompts" / "propose_system.txt").read_text("utf-8").strip()
PER_EXPLORATION = 10  # questions of one exploration
MAX_CHARACTERS = 1000  # characters of a question or hint
BLOCK = re.compile(r"^```json[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
OPEN_BLOCK = re.compile(r"^```json[ \t]*\n(.*)", re.DOTALL | re.MULTILINE)
TRAILING_COMMA = re.compile(r",(\s*[\]}])")
PRECISE = frozenset({"number"})


async def propose(
    model: Model, tables: Sequence[TableRef], sandbox: Sandbox, *, count: int
) -> Asked:
    """Up to `count` questions about the tables, from one exploration for each AT_ONCE of them.

    `dropped` counts the invalid proposals by their fault. Raises NoReply
    "unavailable" and the Faults of the model.
    """
    questions: list[Question] = []
    dropped: Counter[str] = Counter()
    contents = [table.sha256 for table in tables]
    for round_number in range(-(-count // PER_EXPLORATION)):
        wanted = min(PER_EXPLORATION, count - len(questions))
        start = _opening(tables, wanted, [question.text for question in questions])
        session = f"propose/{stable_id(*contents)}/{round_number}"
        attempt = Attempt(model, sandbox, session, "full", TURN_LIMIT["full"])
        trace = await attempt.run(start, ended=lambda reply: BLOCK.search(reply) is not None)
        last = trace.turns[-1].reply if trace.turns else ""
        found, faults = parse(last, contents, {words_alone(q.text) for q in questions})
        dropped.update(faults)
        questions += found[:wanted]
        if not found:
            break
    return Asked(questions=questions[:count], dropped=dropped)


def _opening(tables: Sequence[TableRef], count: int, before: Sequence[str]) -> list[Message]:
    told = SYSTEM.format(
        output_limit=FULL_OUTPUT_LIMIT,
        turns=TURN_LIMIT["full"],
        frames=frames_text(tables),
        count=count,
    )
    asked = f"Propose {count} questions."
    if before:
        asked += " Others than these:\n" + "\n".join(f"- {text}" for text in before)
    return [
        Message(role="system", content="\n\n".join([told, *map(table_text, tables)])),
        Message(role="user", content=asked),
    ]


def parse(
    reply: str, contents: Sequence[str], asked: set[str]
) -> tuple[list[Question], Counter[str]]:
    """The questions in a reply's JSON block, and why others were dropped.

    Lenient about the form (an object around the list, a trailing comma, a block that is not closed, a
    number in quotes), strict about what a question needs. `asked` holds the `plain` texts of earlier
    questions, `contents` the tables' hashes.
    """
    faults: Counter[str] = Counter()
    proposals = _listed(reply)
    if proposals is None:
        return [], Counter({"no JSON list in the reply": 1})
    questions, seen = [], {*asked}
    for proposal in proposals:
        try:
            question = _question(proposal, contents)
        except ValueError as fault:
            faults[str(fault)] += 1
            continue
        if words_alone(question.text) in seen:
            faults["repeated question"] += 1
            continue
        seen.add(words_alone(question.text))
        questions.append(question)
    return questions, faults


def words_alone(text: str) -> str:
    """A question's words alone: two with the same ones are one question."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _listed(reply: str) -> list[Any] | None:
    found = BLOCK.findall(reply) or OPEN_BLOCK.findall(reply)
    text = found[-1] if found else reply
    brackets = text[text.find("[") : text.rfind("]") + 1]
    without_commas = (TRAILING_COMMA.sub(r"\1", part) for part in (text, brackets))
    for attempt in (text, *without_commas):
        try:
            value = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            lists = [inner for inner in value.values() if isinstance(inner, list)]
            value = lists[0] if len(lists) == 1 else [value]
        if isinstance(value, list):
            return value
    return None


def _question(proposal: object, contents: Sequence[str]) -> Question:
    """A question with all it needs; the ValueError names the missing part."""
    if not isinstance(proposal, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of fault, counted by its text
    text, hint = (_text(proposal, key) for key in ("question", "hint"))
    answer_type = str(proposal.get("answer_type", "")).strip().lower()
    if answer_type not in ANSWER_TYPES:
        raise ValueError("no known answer type")
    decimals = _count(proposal.get("decimals"))
    if decimals is None and answer_type in PRECISE:
        raise ValueError("no precision stated")
    difficulty = str(proposal.get("difficulty", "")).strip().lower().replace("_", " ")
    units = proposal.get("units")
    return Question(
        id=stable_id(*contents, text),
        text=text,
        answer_type=answer_type,
        decimals=None if answer_type == "integer" else decimals,
        units=units.strip() or None if isinstance(units, str) else None,
        source="proposed",
        family="proposed",
        difficulty=cast("Difficulty", difficulty if difficulty in DIFFICULTIES else "medium"),
        hint=hint,
        known=False,
    )


def _text(proposal: dict[str, Any], key: str) -> str:
    value = proposal.get(key)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise ValueError(f"no {key}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a {key} of more than {MAX_CHARACTERS} characters")
    return text


def _count(value: object) -> int | None:
    """A count of decimals, which may come in quotes or as 2.0."""
    number = value_of_text(value, "number")
    return next((n for n in range(13) if kind_of(number) == "number" and n == number), None)
