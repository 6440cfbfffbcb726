"""A family of questions as a record: what is asked, the pandas code, and the SQL that finds the truth."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from datagen.episode import Difficulty
from datagen.judge.answer_types import ANSWER_TYPES
from datagen.questions.slots.kinds import SlotOf
from datagen.questions.takes import TAKES
from trainer.contract.command.errors import BadData

FOLDER = Path(__file__).with_name("families")
Text = Annotated[str, Field(min_length=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Reading(_Record):
    """Another defensible reading: the family's SQL with words replaced, or SQL of its own.

    Where its answer differs, `clause` goes into the question and rules it out; without one the
    question is not asked.
    """

    name: Text
    clause: str | None = None
    replace: Mapping[str, str] = {}
    sql: str | None = None


def _slots(given: object) -> object:
    return {str(k): SlotOf(v) for k, v in given.items()} if isinstance(given, dict) else given


Slots = Annotated[Mapping[str, SlotOf], BeforeValidator(_slots)]


class Family(_Record):
    """One kind of question. `docs/questions.md` says how to write one.

    In `code` and `sql` a `{slot}` is a Python or SQL literal, in `wordings` and `plan` it is text.
    `take` names what makes the answer of the SQL's rows. Each of `clear` is SQL for labels and
    scores, the first of which must lead; each of `border` SQL for values and limits, none of which
    may lie so near that rounding decides; each of `refuse` a reason, and SQL that says whether it holds.
    `difficulty` is that of what is asked: one number of a column is easy, a comparison of groups medium,
    one result made of another hard, a test or a procedure of several steps very hard.
    `missing` says of a slot what becomes of rows without it, where the usual sentence is unclear;
    `states_gaps`: the wordings say what becomes of missing values.
    """

    name: Text
    difficulty: Difficulty = "medium"
    slots: Slots
    wordings: tuple[Text, ...] = Field(min_length=1)
    plan: Text
    code: Text
    sql: Text
    take: str = "value"
    clear: tuple[str, ...] = ()
    border: tuple[str, ...] = ()
    refuse: Mapping[str, str] = {}
    missing: Mapping[str, str] = {}
    least: int = 3
    states_gaps: bool = False
    readings: tuple[Reading, ...] = ()
    answer: str = "number"
    decimals: int = 2
    scaled: bool = False
    whole: bool = False
    units: str | None = None
    form: str | None = None
    tables: int = 1

    @model_validator(mode="after")
    def _fits_together(self) -> Family:
        of = self.answer.removeprefix("value of ")
        if self.answer not in ANSWER_TYPES and of not in self.slots:
            known = ", ".join([*ANSWER_TYPES, "value of SLOT"])
            raise ValueError(f"answer: {self.answer!r} is unknown; use one of {known}")
        if self.take not in TAKES:
            raise ValueError(f"take: {self.take!r} is unknown; use one of {', '.join(TAKES)}")
        if missing := [name for name in TAKES[self.take].needs if name not in self.slots]:
            raise ValueError(f"take: {self.take!r} needs a slot {missing[0]!r}")
        if "answer" not in self.code:
            raise ValueError("code: it assigns nothing to `answer`")
        filled: list[str] = []
        for name, slot in self.slots.items():
            for other in slot.refers:
                if other not in filled:
                    raise ValueError(f"slots: {name!r} needs a slot {other!r} before it")
            filled.append(name)
        for key, text in self._texts():
            for name in fields(key, text):
                if name not in self.slots:
                    raise ValueError(
                        f"{key}: {{{name}}} is no slot: there are {', '.join(self.slots)}"
                    )
        return self

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Everything that slots are put into, each with the key it stands under."""
        for key in ("wordings", "clear", "border"):
            yield from ((key, text) for text in getattr(self, key))
        for key in ("plan", "code", "sql", "form"):
            yield key, getattr(self, key) or ""
        yield from (("refuse", text) for text in self.refuse.values())
        for reading in self.readings:
            yield "readings", f"{reading.clause or ''} {reading.sql or ''}"

    @property
    def of(self) -> str | None:
        """The slot whose column's type the answer has."""
        return self.answer.removeprefix("value of ") if self.answer not in ANSWER_TYPES else None


def fields(key: str, text: str) -> list[str]:
    """The names of the slots in a text. Raises ValueError where a brace is no slot."""
    try:
        return [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as fault:
        raise ValueError(f"{key}: {fault}; a brace that is no slot is written twice") from None


def read_families(path: Path) -> tuple[Family, ...]:
    """The families of a TOML file, a table each.

    Raises:
        BadData: the file is missing or no TOML, or a record is wrong; file and line are named.
    """
    try:
        text = path.read_text("utf-8")
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as fault:
        raise BadData(f"{path}: {getattr(fault, 'strerror', None) or fault}", _ADVICE) from None
    except tomllib.TOMLDecodeError as fault:
        raise BadData(f"{path}: {fault}", _ADVICE) from None
    return tuple(_family(path, text, name, record) for name, record in found.items())


_ADVICE = "docs/questions.md shows how to write a family of questions"


def _family(path: Path, text: str, name: str, record: Any) -> Family:
    if not isinstance(record, dict):
        raise BadData(f"{path}:{_line(text, name)}: {name} is not a table: write [{name}]", _ADVICE)
    try:
        return Family(**{"name": name, **record})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        key = str(first["loc"][0]) if first["loc"] else said.split(":")[0]
        line = _line(text, name, key)
        raise BadData(
            f"{path}:{line}: [{name}] {where}: {said}".replace(" : ", " "), _ADVICE
        ) from None


def _line(text: str, name: str, key: str = "") -> int:
    """The line of a key in the table `name`; that of the table where the key is not found."""
    lines, start = text.splitlines(), 0
    for at, line in enumerate(lines, 1):
        if re.match(rf'\[+"?{re.escape(name)}"?[].]|{re.escape(name)}\s*=', line.strip()):
            start = start or at
        elif start and line.startswith("["):
            break
        if (
            start
            and key
            and re.match(rf"\[*({re.escape(name)}\.)?{re.escape(key)}\s*[]=.]", line.strip())
        ):
            return at
    return start or 1


@cache
def bundled() -> tuple[Family, ...]:
    """The families that come with the package, by file name and then in the order of the file."""
    return tuple(f for path in sorted(FOLDER.glob("*.toml")) for f in read_families(path))
