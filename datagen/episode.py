"""The episode: one question about tables, the attempts at it, and the verdict. JSONL, versioned.

An episode file holds one `Episode` a line. Nothing here runs a model or reads a table.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from datagen.verify import AnswerType
from trainer.contract.errors import BadData, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(_Record):
    """One chat message as it was sent or received."""

    role: Literal["system", "user", "assistant"]
    content: str


class Column(_Record):
    """A column as prompts show it; `kind` is integer, number, boolean, date or text."""

    name: str
    kind: str


class Reading(_Record):
    """How a CSV's bytes become a frame: inferred once, kept, so that everyone reads the same table.

    The defaults are the plain case. `formats` gives a date column's strptime format, `kinds` the kind
    of a column where it is not what pandas would make of it. Missing are the texts pandas takes for
    missing (NA, null, nothing...) without those `kept`, those of `missing` in every column, and those
    of `sentinels` in one. `decimals` names columns whose decimal mark is not `decimal`; each character
    of `thousands` is a group mark.
    """

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    decimal: str = "."
    thousands: str | None = None
    missing: list[str] = []
    kept: list[str] = []
    sentinels: dict[str, list[str]] = {}
    decimals: dict[str, str] = {}
    kinds: dict[str, str] = {}
    formats: dict[str, str] = {}


class TableRef(_Record):
    """A CSV by content. `path` is relative to the folder of the episode file."""

    name: str
    path: str
    sha256: str
    rows: int
    columns: list[Column]
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


class Hook(_Record):
    """An intermediate value the code announced with `hook(value, name, depends_on)`."""

    name: str
    value: JsonValue
    depends_on: list[str] = []


class Turn(_Record):
    """One reply and what came of it. `feedback` is the message sent back, None after the last turn."""

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
    to the gold answer, where no truth is known). `cost` is in US dollars, as the provider billed it.
    """

    opening: list[Message]
    turns: list[Turn]
    hinted: bool = False
    agrees: bool | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    providers: list[str] = []

    @property
    def submitted(self) -> bool:
        return bool(self.turns) and self.turns[-1].submitted

    @property
    def answer(self) -> JsonValue:
        return self.turns[-1].answer if self.submitted else None

    def messages(self) -> list[Message]:
        """Every message of the attempt, in order, exactly as the model saw it."""
        return [*self.opening, *(m for turn in self.turns for m in turn_messages(turn))]


def turn_messages(turn: Turn) -> list[Message]:
    """The reply and, when there was one, the feedback to it."""
    reply = Message(role="assistant", content=turn.reply)
    if turn.feedback is None:
        return [reply]
    return [reply, Message(role="user", content=turn.feedback)]


class Verdict(_Record):
    """The judge's finding: by which rule, why, and how many of how many attempts agreed."""

    verified: bool
    rule: str
    detail: str = ""
    agreed: int = 0
    attempts: int = 0


class Provenance(_Record):
    """Where an episode came from, enough to make it again."""

    model: str
    prompt_sha256: str
    sandbox_level: str
    seed: int
    versions: dict[str, str]
    prompt: Literal["brief", "full"] = "brief"
    licence: str | None = None
    sampling: dict[str, JsonValue] = {}
    quantization: str | None = None


class Episode(_Record):
    """A question, its attempts, the verdict on the last of them, and its origin."""

    v: Literal[1] = 1
    id: str
    question: Question
    tables: list[TableRef]
    traces: list[Trace]
    verdict: Verdict
    provenance: Provenance


def stable_id(*parts: str) -> str:
    """A 16-digit id that is the same for the same parts."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_episodes(path: Path) -> list[Episode]:
    """Every episode of a JSONL file.

    Raises BadData naming file and line of each line that is no episode.
    """
    if not path.is_file():
        raise NotFound(
            f"{path}: no such file", "make it with: datagen episodes TABLE.csv --out FOLDER"
        )
    episodes, faults = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            episodes.append(Episode.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            faults.append(f"{path}:{number}: {where}: {first['msg']}")
    if faults:
        raise BadData(
            f"{path}: {len(faults)} lines are no episodes",
            "write it again with: datagen episodes",
            faults=faults,
        )
    if not episodes:
        raise BadData(f"{path}: no episode in it", "make it again with: datagen episodes")
    return episodes


def write_episodes(path: Path, episodes: Iterable[Episode]) -> None:
    """Write a JSONL file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(episode.model_dump_json() + "\n" for episode in episodes)
    part.replace(path)
