"""Read csv-agent's episode files, in the current format and in the 2025 format.

Only what cannot be made again is taken: the question, and what the teacher wrote in each attempt. Their
executions and verdicts are not believed: attempts are run again in our sandbox and judged by our judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from datagen.episode import Difficulty, Question, stable_id
from datagen.judge.answer_types import AnswerType
from datagen.prompts.render import as_reply
from trainer.contract.command.errors import BadData, NotFound

# Their judge takes floats within 0.1; two decimals is what their hashes keep.
DECIMALS = 2
DIFFICULTIES: dict[str, Difficulty] = {
    "EASY": "easy",
    "MEDIUM": "medium",
    "HARD": "hard",
    "VERY_HARD": "very hard",
}


class _Question(BaseModel):
    question_text: str = Field(min_length=1)
    hint: str | None = None
    difficulty: Literal["EASY", "MEDIUM", "HARD", "VERY_HARD"] | None = None
    template_name: str | None = None
    template_params: dict[str, JsonValue] | None = None
    ground_truth: JsonValue = None


class _Cell(BaseModel):
    reasoning: str | None = None
    code: str


class _Trace(BaseModel):
    turns: list[_Cell]
    final_answer: JsonValue = None


class _CurrentEpisode(BaseModel):
    """An episode in the format used since 2025-12-26."""

    csv_source: str
    question: _Question
    gold_trace: _Trace
    consistency_traces: list[_Trace] = []
    verified: bool


class _OldTrace(BaseModel):
    code_cells: list[str]
    final_answer: JsonValue = None


class _OldEpisode(BaseModel):
    """An episode in the format used before 2025-12-26."""

    csv_source: str
    question: _Question
    teacher_gold_trace: _OldTrace
    consistency_traces: list[_OldTrace] = []
    verified: bool


EPISODE_FORMATS: TypeAdapter[_CurrentEpisode | _OldEpisode] = TypeAdapter(
    _CurrentEpisode | _OldEpisode
)


@dataclass(frozen=True, kw_only=True)
class ImportedAttempt:
    """What the teacher wrote, a reply a turn; `hinted` when it had seen the hint."""

    replies: list[str]
    hinted: bool


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A question of csv-agent's, the CSV it names, and the attempts at it, the hinted one first."""

    question: Question
    csv: str
    attempts: list[ImportedAttempt]
    verified_by_csv_agent: bool


def read_csv_agent(path: Path) -> list[Imported]:
    """Every episode of a JSONL file, or of a JSON file that holds one.

    Raises NotFound, and BadData naming file and line of each line in neither shape.
    """
    if path.is_dir():
        raise NotFound(f"{path} is a folder", "give the .jsonl or .json file in it")
    if not path.is_file():
        raise NotFound(f"{path}: no such file", "give an episode file of csv-agent")
    found, faults = [], []
    for number, text in _objects(path):
        try:
            found.append(_imported(EPISODE_FORMATS.validate_json(text)))
        except ValidationError as error:
            wrong = error.errors()[0]
            where = ".".join(str(part) for part in wrong["loc"][1:])
            faults.append(f"{path}:{number}: {where or 'line'}: {wrong['msg']}")
    if faults or not found:
        raise BadData(
            f"{path}: {len(faults)} lines are not csv-agent episodes"
            if found
            else f"{path}: no csv-agent episodes",
            "an episode has the key gold_trace (current format) or teacher_gold_trace (2025 format)",
            faults=faults if found else faults[:1],
        )
    return found


def _objects(path: Path) -> Iterator[tuple[int, bytes]]:
    content = path.read_bytes()
    if path.suffix == ".json":
        yield 1, content
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield number, line


def _imported(episode: _CurrentEpisode | _OldEpisode) -> Imported:
    gold = (
        episode.gold_trace if isinstance(episode, _CurrentEpisode) else episode.teacher_gold_trace
    )
    asked = episode.question
    known = asked.ground_truth is not None
    answer = asked.ground_truth if known else gold.final_answer
    answer_type, decimals = _answer_form(answer)
    question = Question(
        id=stable_id(episode.csv_source, asked.question_text),
        text=_with_precision(asked.question_text, answer_type),
        answer_type=answer_type,
        decimals=decimals,
        source="imported",
        family=asked.template_name or "csv-agent",
        params=asked.template_params or {},
        difficulty=DIFFICULTIES.get(asked.difficulty or "", "medium"),
        hint=asked.hint,
        known=known,
        truth=asked.ground_truth,
    )
    return Imported(
        question=question,
        csv=episode.csv_source,
        attempts=[
            ImportedAttempt(replies=_replies(gold), hinted=asked.hint is not None),
            *(
                ImportedAttempt(replies=_replies(t), hinted=False)
                for t in episode.consistency_traces
            ),
        ],
        verified_by_csv_agent=episode.verified,
    )


def _replies(trace: _Trace | _OldTrace) -> list[str]:
    if isinstance(trace, _OldTrace):
        return [as_reply(code) for code in trace.code_cells]
    return [
        "\n\n".join(part for part in ((cell.reasoning or "").strip(), as_reply(cell.code)) if part)
        for cell in trace.turns
    ]


def _answer_form(answer: Any) -> tuple[AnswerType, int | None]:
    """Return the answer type of a csv-agent value; csv-agent files do not state it."""
    if isinstance(answer, bool):
        return "boolean", None
    if isinstance(answer, int):
        return "integer", None
    if isinstance(answer, float):
        return "number", DECIMALS
    if isinstance(answer, list):
        return "list", DECIMALS
    if isinstance(answer, dict):
        return "object", DECIMALS
    return "text", None


def _with_precision(text: str, answer_type: AnswerType) -> str:
    """The question with its precision, which csv-agent leaves unsaid."""
    plain = re.sub(r"^\[(llm_gen|template|procedural)\]\s*", "", text).strip()
    return f"{plain} ({DECIMALS} decimals)" if answer_type == "number" else plain
