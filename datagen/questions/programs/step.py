"""A step of a program as a record: what is said, the pandas code, and the SQL over the rows so far."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.judge.answer_types import AnswerType
from datagen.questions.records import Slots, fields
from datagen.tables.column_profile import Meaning

FOLDER = Path(__file__).with_name("steps")
Kind = Literal[
    "joins", "conditions", "selections", "derivations", "groups", "series", "row_ends", "group_ends"
]
SELECTING = {"conditions", "selections"}
ENDS = {"row_ends", "group_ends"}
OVER_GROUPS = {"series", "group_ends"}
WORDS = {
    *("rows", "of", "the_rows", "within", "them", "measure", "c", "joined"),
    *("clause", "mask", "holds"),
}


class Makes(BaseModel):
    """The column that a derivation adds: its name, and what it is good for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str = "number"
    meaning: Meaning = "amount"


class Step(BaseModel):
    """One operator. The file it stands in is its `kind`, and says how its texts are read.

    `sql` is over `{rows}`, the table that the step before made; slots stand in it as in a family.
    Each of `refuse` is a reason, and SQL (an aggregate of {rows}, or a select) that is true where it
    holds; each of `notes` a sentence, and SQL for when the question has to say it. `leaves_out` are
    the slots of columns of which missing values are left out, which the question then says.
    `answer` is its type where the value does not show it. `condition`: one of the conditions is drawn into {clause}, {mask} and {holds}. A step is drawn only
    where earlier ones give what it `needs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    kind: Kind
    slots: Slots
    says: str
    code: str
    sql: str
    refuse: Mapping[str, str] = {}
    notes: Mapping[str, str] = {}
    leaves_out: tuple[str, ...] = ()
    makes: Makes | None = None
    answer: AnswerType | None = None
    short: str = "value"
    direct: bool = True
    relates: bool = False
    condition: bool = False
    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    loses: frozenset[str] = Field(default=frozenset())

    @model_validator(mode="after")
    def _has_its_slots(self) -> Step:
        texts = [self.says, self.code, self.sql, *self.refuse.values(), *self.notes.values()]
        known = WORDS | {*self.slots} | {f"{name}_made" for name in self.slots}
        for name in [*(f for text in texts for f in fields(self.name, text)), *self.leaves_out]:
            if name not in known:
                raise ValueError(f"{self.name}: {{{name}}} is no slot")
        return self


@cache
def steps() -> Mapping[str, Step]:
    """All steps by name, in the order of the files."""
    return {
        name: Step(**{"name": name, "kind": path.stem, **record})
        for path in sorted(FOLDER.glob("*.toml"))
        for name, record in tomllib.loads(path.read_text("utf-8")).items()
    }


@cache
def of_kind(*kinds: Kind) -> tuple[Step, ...]:
    return tuple(step for step in steps().values() if step.kind in kinds)
