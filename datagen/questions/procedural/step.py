"""What every step of a program can do: be drawn, be worded, be pandas code, and be computed plainly."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Answer, Column, Rows, Series, Use

FRESH = 0.85
FEWEST = 3


@dataclass(frozen=True)
class Step(ABC):
    """One operator with its parameters. `op` names it in shapes and in JSON."""

    op: ClassVar[str]


class RowStep(Step):
    """Rows to rows. `sentence` says it; `code` assigns the new rows to `rows`.

    `narrows`: fewer rows may come out than went in.
    """

    narrows: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        """A step that fits these rows; None if no such step fits them."""

    @abstractmethod
    def plain(self, rows: Rows) -> Rows: ...

    @abstractmethod
    def code(self, name: str) -> str:
        """The pandas line(s) that make `rows` from the frame called `name`."""

    @abstractmethod
    def sentence(self, these: str) -> str:
        """The step in words; `these` is "all rows" or "these rows"."""

    def makes(self) -> tuple[str, ...]:
        """The names of the columns that this step adds."""
        return ()

    def instead(self) -> dict[str, str]:
        """Which column could stand for one that this step makes: what remains without the step."""
        return {}


class Condition(RowStep):
    """Keeps the rows for which something holds in `column`; neighbours are worded together."""

    column: str

    @abstractmethod
    def holds(self, rows: Rows) -> list[bool]: ...

    @abstractmethod
    def mask(self, name: str) -> str:
        """The pandas expression of the condition over the frame called `name`."""

    @abstractmethod
    def clause(self) -> str:
        """The condition in words, after "where"."""

    def plain(self, rows: Rows) -> Rows:
        return rows.keep(self.holds(rows))

    def code(self, name: str) -> str:
        return f"rows = {name}[{self.mask(name)}]"

    def sentence(self, these: str) -> str:
        start = "Take the rows" if these == "all rows" else "Of these, keep the rows"
        return f"{start} where {self.clause()}."


class GroupStep(Step):
    """Rows to a series: one number for each label of the column `by`."""

    by: str

    @classmethod
    @abstractmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None: ...

    @abstractmethod
    def plain(self, rows: Rows) -> Series: ...

    @abstractmethod
    def expression(self, name: str) -> str:
        """The pandas expression of the series, from the frame called `name`."""

    @abstractmethod
    def measure(self) -> str:
        """What the numbers are: 'average "x"'."""

    @property
    def short(self) -> str:
        """One word for such a number, once `measure` was said."""
        return "value"


class SeriesStep(Step):
    """A series to a series. `code` assigns the new one to `groups`."""

    @classmethod
    @abstractmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None: ...

    @abstractmethod
    def plain(self, series: Series) -> Series: ...

    @abstractmethod
    def code(self) -> str: ...

    @abstractmethod
    def sentence(self, by: str) -> str: ...


class RowEnd(Step):
    """Rows to the answer."""

    @classmethod
    @abstractmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None: ...

    @abstractmethod
    def plain(self, rows: Rows) -> Answer: ...

    @abstractmethod
    def expression(self, name: str) -> str: ...

    def before(self, name: str) -> str | None:
        """A line that makes the frame `pairs` from `name`, which `expression` then gets instead."""
        return None

    @abstractmethod
    def question(self, these: str) -> str:
        """In words, to follow "among the rows where ...,"; `these` is "all rows" or "these rows"."""


class SeriesEnd(Step):
    """A series to the answer. `direct`: its question reads well with the groups' measure inside."""

    direct: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None: ...

    @abstractmethod
    def plain(self, series: Series) -> Answer: ...

    @abstractmethod
    def expression(self) -> str: ...

    @abstractmethod
    def question(self, by: str, measure: str) -> str:
        """In words; `measure` is what the numbers are: 'average "x"', or "value" once that was said."""


def literal(value: object) -> str:
    """A constant as Python code."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(item) for item in value)}]"
    return repr(value)


def pick(columns: Sequence[Column], rng: random.Random, *, but: str = "") -> Column | None:
    """One of the columns; one that the program itself made goes first, most of the time."""
    columns = [column for column in columns if column.name != but]
    made = [column for column in columns if column.fresh]
    if made and rng.random() < FRESH:
        return rng.choice(made)
    return rng.choice(columns) if columns else None


def pick_use(rows: Rows, use: Use, rng: random.Random, *, but: str = "") -> Column | None:
    """A column with this use and at least three values in these rows."""
    column = pick(rows.having(use), rng, but=but)
    return column if column and len(rows.present(column.name)) >= FEWEST else None


def number(value: float) -> float:
    """A threshold a person would write: three significant digits, or a whole number as it is."""
    if isinstance(value, int) or float(value).is_integer():
        return int(value)
    short = float(f"{value:.3g}")
    return int(short) if short.is_integer() else short


def middle(values: Sequence[Any], rng: random.Random) -> Any:
    """A value between the 20th and the 80th percentile."""
    ranked = sorted(values)
    return ranked[int(rng.uniform(0.2, 0.8) * len(ranked))]


def words(value: object) -> str:
    """A number as text, without exponent."""
    if isinstance(value, float):
        return f"{value:.12f}".rstrip("0").rstrip(".")
    return str(value)


def joined(items: Sequence[str], last: str = "and") -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"
