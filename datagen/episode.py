"""The episode: one question about tables, the attempts at it, and the verdict. JSONL, versioned.

An episode file holds one `Episode` a line. Nothing here runs a model or reads a table.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from datagen.judge.answer_types import AnswerType
from trainer.contract.command.crash_safe_files import replacing
from trainer.contract.command.errors import BadData, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


PromptStyle = Literal["brief", "compact", "full"]


class Message(_Record):
    """One chat message as it was sent or received."""

    role: Literal["system", "user", "assistant"]
    content: str


class Column(_Record):
    """A column as prompts show it; `kind` is integer, number, boolean, date or text.

    The `brief` prompt shows name and kind, `full` all of it: what the column means, how many values
    are missing and how many differ, its range (of numbers, of dates as ISO text) and its most
    frequent values.
    """

    name: str
    kind: str
    meaning: str | None = None
    missing: int = 0
    distinct: int | None = None
    low: float | None = None
    high: float | None = None
    first: str | None = None
    last: str | None = None
    unit: str | None = None
    top: list[str] = []


class Reading(_Record):
    """How to read a CSV into a frame: inferred once and saved, so that every reader gets the same table.

    The defaults are the plain case. `formats` gives a date column's strptime format, `kinds` the kind
    of a column where it is not what pandas would make of it. Missing are the texts pandas takes for
    missing (NA, null, nothing...) without those `kept`, those of `missing` in every column, and those
    of `sentinels` in one. `decimals` names columns whose decimal mark is not `decimal`; each character
    of `thousands` is a group mark. `skip_space`: blanks after a delimiter belong to it.
    `skip_lines` lines stand above the table; without `header` its columns are column_1, column_2...
    `errors` "replace" reads bytes that are invalid in the encoding as U+FFFD. `trim` leaves out blanks
    around values and characters that cannot be seen, and reads no-break blanks in text as blanks.
    `units` is the currency or % that stood beside a column's numbers; nothing is read by it.
    """

    encoding: str = "utf-8-sig"
    errors: Literal["strict", "replace"] = "strict"
    skip_lines: int = 0
    header: bool = True
    trim: bool = False
    delimiter: str = ","
    skip_space: bool = False
    decimal: str = "."
    thousands: str | None = None
    missing: list[str] = []
    kept: list[str] = []
    sentinels: dict[str, list[str]] = {}
    decimals: dict[str, str] = {}
    kinds: dict[str, str] = {}
    formats: dict[str, str] = {}
    units: dict[str, str] = {}


class TableRef(_Record):
    """A CSV by content. `path` is relative to the folder of the episode file; `head` its first rows."""

    name: str
    path: str
    sha256: str
    rows: int
    columns: list[Column]
    head: list[list[str]] = []
    reading: Reading = Reading()


Source = Literal["template", "procedural", "proposed", "imported"]
Difficulty = Literal["easy", "medium", "hard", "very hard"]


class Question(_Record):
    """A question with the form of its answer.

    `decimals` or `significant` digits are the stated precision of a number.
    `family` is the template's name or the program's shape: what splits keep apart. `code` is a
    solution, where one is known. Where `known` is false there is no ground truth, and attempts are
    judged against each other.
    """

    id: str
    text: str
    answer_type: AnswerType
    decimals: int | None = None
    significant: int | None = None
    units: str | None = None
    source: Source
    family: str
    params: dict[str, JsonValue] = {}
    difficulty: Difficulty
    hint: str | None = None
    code: str | None = None
    known: bool = True
    truth: JsonValue = None

    @property
    def form(self) -> tuple[AnswerType, int | None, int | None, str | None]:
        """What the judge takes of a question: answer type, decimals, significant digits, units."""
        return self.answer_type, self.decimals, self.significant, self.units


class Hook(_Record):
    """An intermediate value the code announced with `hook(value, name, depends_on)`."""

    name: str
    value: JsonValue
    depends_on: list[str] = []


class Turn(_Record):
    """One reply and its result. `feedback` is the message sent back, None after the last turn."""

    reply: str
    code: str | None
    stdout: str = ""
    stderr: str = ""
    hooks: list[Hook] = []
    submitted: bool = False
    answer: JsonValue = None
    error: bool = False
    feedback: str | None = None


class Trace(_Record):
    """One attempt: the opening messages and the turns that followed.

    `hinted`: the model saw the question's hint. `agrees`: the judge found its answer right (or equal
    to the gold answer, where no truth is known). `failure` is why the model gave no usable reply, where that ended
    the attempt, as "KIND: CAUSE". `cost` is in US dollars, as the provider billed it; `reasoning_tokens` are
    part of `completion_tokens`.
    """

    opening: list[Message]
    turns: list[Turn]
    hinted: bool = False
    agrees: bool | None = None
    failure: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    providers: list[str] = []
    quantizations: list[str] = []

    @property
    def submitted(self) -> bool:
        return bool(self.turns) and self.turns[-1].submitted

    @property
    def answer(self) -> JsonValue:
        return self.turns[-1].answer if self.submitted else None

    @property
    def refused(self) -> bool:
        """Whether the API refused the opening, so that no attempt can answer the question."""
        return not self.turns and (self.failure or "").startswith("refused: ")

    def messages(self) -> list[Message]:
        """Every message of the attempt, in order, exactly as the model saw it."""
        return [*self.opening, *(m for turn in self.turns for m in turn_messages(turn))]


def turn_messages(turn: Turn) -> list[Message]:
    """The reply and, when there was one, the feedback to it."""
    reply = Message(role="assistant", content=turn.reply)
    if turn.feedback is None:
        return [reply]
    return [reply, Message(role="user", content=turn.feedback)]


Category = Literal[
    "no submit",
    "crash",
    "wrong",
    "disagreement",
    "no majority",
    "hint necessary",
    "too hard",
    "ambiguous",
]


class Verdict(_Record):
    """The judge's finding: by which rule, why, and how many of how many attempts agreed.

    `category` is the kind of failure of an episode that is not verified; `judge.agreement.rejection_category`
    explains each.
    """

    verified: bool
    rule: str
    detail: str = ""
    agreed: int = 0
    attempts: int = 0
    category: Category | None = None


class Audit(_Record):
    """An attempt by a second model at a verified episode's question, and whether it came out the same."""

    model: str
    trace: Trace
    agrees: bool


class Provenance(_Record):
    """Where an episode came from, enough to make it again."""

    model: str
    prompt_sha256: str
    sandbox_level: str
    seed: int
    versions: dict[str, str]
    prompt: PromptStyle = "brief"
    licence: str | None = None
    sampling: dict[str, JsonValue] = {}
    quantization: str | None = None


class Episode(_Record):
    """A question, its attempts, the verdict on them, and its origin.

    Where the truth was not known, the gold attempt saw the hint and stands first; once verified its
    answer is the question's truth.
    """

    v: Literal[1] = 1
    id: str
    question: Question
    tables: list[TableRef]
    traces: list[Trace]
    verdict: Verdict
    provenance: Provenance
    audit: Audit | None = None


def stable_id(*parts: str) -> str:
    """A 16-digit id that is the same for the same parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class EpisodeFile:
    """The episodes of a JSONL file, read one at a time; every iteration reads the file again.

    Raises NotFound. After the last line, an iteration raises BadData naming file and line of each line
    that is not an episode.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_dir():
            raise NotFound(
                f"{self.path} is a folder", "give the .jsonl file in it, as episodes.jsonl"
            )
        if not self.path.is_file():
            raise NotFound(
                f"{self.path}: no such file",
                "make it with: datagen episodes TABLE.csv --out FOLDER",
            )

    def __iter__(self) -> Iterator[Episode]:
        found, faults = 0, list[str]()
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    episode = Episode.model_validate_json(line.rstrip(b"\r\n"))
                except ValidationError as error:
                    faults.append(f"{self.path}:{number}: {_fault(error)}")
                else:
                    found += 1
                    yield episode
        if faults and not found:
            raise BadData(
                f"{self.path}: not an episode file: no line is an episode",
                "make episodes with: datagen episodes TABLE.csv --out FOLDER",
                faults=faults[:1],
            )
        if faults:
            raise BadData(
                f"{self.path}: {len(faults)} lines are not episodes",
                "write it again with: datagen episodes",
                faults=faults,
            )
        if not found:
            raise BadData(f"{self.path}: no episodes", "make it again with: datagen episodes")


def read_episodes(path: Path) -> list[Episode]:
    """Return every episode of a JSONL file. Raises as EpisodeFile."""
    return [*EpisodeFile(path)]


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "v":
        return f"v: unknown version {first['input']!r}: this datagen reads version 1"
    return f"{where or 'line'}: {first['msg']}"


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write a JSONL file whole or not at all."""
    with replacing(path) as file:
        file.writelines(map(as_line, episodes))


def as_line(episode: Episode) -> bytes:
    """The episode's line of a JSONL file."""
    return episode.model_dump_json().encode() + b"\n"
