"""Steps that give each row one more value."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows, finite
from datagen.questions.procedural.step import RowStep, literal, pick_use

ARITHMETIC: dict[str, tuple[str, str, Callable[[Any, Any], Any]]] = {
    "ratio": ("/", "divided by", lambda a, b: a / b),
    "difference": ("-", "minus", lambda a, b: a - b),
    "sum": ("+", "plus", lambda a, b: a + b),
    "product": ("*", "times", lambda a, b: a * b),
}


def assign(name: str, made: str, expression: str) -> str:
    return f"rows = {name}.assign({made}={expression})"


def each(these: str) -> str:
    return "For each row" if these == "all rows" else "For each of these rows"


@dataclass(frozen=True)
class Arithmetic(RowStep):
    narrows: ClassVar[bool] = False
    how: str
    first: str
    second: str
    op: ClassVar[str] = "derive_arithmetic"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        first = pick_use(rows, "amount", rng)
        second = pick_use(rows, "amount", rng, but=first.name) if first else None
        if first is None or second is None or first.computed or second.computed:
            return None
        if 0 in rows.values(second.name):
            first, second = second, first
        hows = (
            ["product"] if 0 in rows.values(second.name) else ["ratio", "ratio", "ratio", "product"]
        )
        if _alike(rows, first.name, second.name):
            hows = [hows[0], "difference", "difference", "sum"]
        return cls(rng.choice(hows), first.name, second.name)

    def plain(self, rows: Rows) -> Rows:
        pairs = list(zip(rows.values(self.first), rows.values(self.second), strict=True))
        if self.how == "ratio" and any(b == 0 for _, b in pairs):
            raise Refused("a division by zero")
        do = ARITHMETIC[self.how][2]
        values = [None if a is None or b is None else do(a, b) for a, b in pairs]
        whole = {rows.column(self.first).kind, rows.column(self.second).kind} == {"integer"}
        kind = "integer" if whole and self.how != "ratio" else "number"
        noted = rows
        if any(a is None or b is None for a, b in pairs):
            noted = rows.note(f'A row that lacks either has no "{self.how}".')
        return noted.add(self.how, kind, {"amount"}, values)

    def makes(self) -> tuple[str, ...]:
        return (self.how,)

    def code(self, name: str) -> str:
        sign = ARITHMETIC[self.how][0]
        first, second = (f"{name}[{literal(column)}]" for column in (self.first, self.second))
        return assign(name, self.how, f"{first} {sign} {second}")

    def sentence(self, these: str) -> str:
        verb = ARITHMETIC[self.how][1]
        return f'{each(these)}, let "{self.how}" be "{self.first}" {verb} "{self.second}".'

    def instead(self) -> dict[str, str]:
        return {self.how: self.first}


def _alike(rows: Rows, first: str, second: str) -> bool:
    """Whether two columns are of one size, so that adding them may mean something."""
    sizes = [statistics.median(abs(x) for x in rows.present(name)) for name in (first, second)]
    return bool(min(sizes) * 4 > max(sizes))


@dataclass(frozen=True)
class LogOnePlus(RowStep):
    narrows: ClassVar[bool] = False
    column: str
    op: ClassVar[str] = "derive_log"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        if column is None or column.computed or min(rows.present(column.name)) < 0:
            return None
        return cls(column.name)

    def plain(self, rows: Rows) -> Rows:
        values = rows.values(self.column)
        if any(x is not None and x <= -1 for x in values):
            raise Refused("a logarithm of nothing")
        logs = [None if x is None else math.log1p(x) for x in values]
        return rows.ignoring(self.column).add("log", "number", {"amount"}, logs)

    def makes(self) -> tuple[str, ...]:
        return ("log",)

    def code(self, name: str) -> str:
        return assign(name, "log", f"np.log1p({name}[{literal(self.column)}])")

    def sentence(self, these: str) -> str:
        return f'{each(these)}, let "log" be the natural logarithm of 1 + "{self.column}".'

    def instead(self) -> dict[str, str]:
        return {"log": self.column}


@dataclass(frozen=True)
class AgainstOwnGroup(RowStep):
    """What a row has over its group's average, or its share of its group's total."""

    narrows: ClassVar[bool] = False

    how: str
    column: str
    by: str
    op: ClassVar[str] = "derive_against_own_group"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column, by = pick_use(rows, "amount", rng), pick_use(rows, "label", rng)
        if column is None or by is None or by.name == column.name or column.computed:
            return None
        if min(rows.present(column.name)) < 0:
            return cls("deviation", column.name, by.name)
        return cls(rng.choice(["deviation", "share"]), column.name, by.name)

    def plain(self, rows: Rows) -> Rows:
        values, labels = rows.values(self.column), rows.values(self.by)
        groups = rows.grouped(self.column, self.by)
        plain = statistics.fmean if self.how == "deviation" else math.fsum
        of_group = {label: plain(found) for label, found in groups.items()}
        if self.how == "share" and not all(of_group.values()):
            raise Refused("a division by zero")
        made: list[float | None] = []
        for label, x in zip(labels, values, strict=True):
            base = of_group.get(label)
            if x is None or base is None:
                made.append(None)
            else:
                made.append(finite(x - base if self.how == "deviation" else x / base))
        noted = rows.ignoring(self.column)
        if None in labels:
            noted = noted.note(f'Rows without "{self.by}" have no "{self.how}".')
        return noted.add(self.how, "number", {"amount"}, made)

    def makes(self) -> tuple[str, ...]:
        return (self.how,)

    def code(self, name: str) -> str:
        column = f"{name}[{literal(self.column)}]"
        what, sign = ("mean", "-") if self.how == "deviation" else ("sum", "/")
        whole = f'{name}.groupby({literal(self.by)})[{literal(self.column)}].transform("{what}")'
        return assign(name, self.how, f"{column} {sign} {whole}")

    def sentence(self, these: str) -> str:
        same = f'of {these} with the same "{self.by}"'
        if self.how == "deviation":
            what = f'"{self.column}" minus the average "{self.column}" {same}'
        else:
            what = f'"{self.column}" divided by the total "{self.column}" {same}'
        return f'{each(these)}, let "{self.how}" be {what}.'

    def instead(self) -> dict[str, str]:
        return {self.how: self.column}


DERIVATIONS: tuple[type[RowStep], ...] = (Arithmetic, LogOnePlus, AgainstOwnGroup)
