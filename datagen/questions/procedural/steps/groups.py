"""Steps from rows to one number for each group."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows, Series
from datagen.questions.procedural.step import Condition, GroupStep, literal, pick, pick_use
from datagen.questions.procedural.steps.aggregate import AGGREGATES, aggregate
from datagen.questions.procedural.steps.conditions import CONDITIONS, counting


def split(rows: Rows, by: str, values: Sequence[Any]) -> dict[Any, list[Any]]:
    """The values by label, labels ascending; rows without a label belong to no group."""
    groups: dict[Any, list[Any]] = {}
    for label, x in zip(rows.values(by), values, strict=True):
        if label is not None:
            groups.setdefault(label, []).append(x)
    if len(groups) < 2:
        raise Refused("fewer than two groups")
    return {label: groups[label] for label in sorted(groups)}


def series(rows: Rows, by: str, values: dict[Any, float], *, whole: bool, additive: bool) -> Series:
    column = rows.column(by)
    noted = rows
    if None in rows.values(by):
        noted = rows.note(f'Rows without "{by}" belong to no group.')
    return Series(
        by=by,
        kind=column.kind,
        labels=[*values],
        values=[*values.values()],
        whole=whole,
        additive=additive,
        ordered="period" in column.uses,
        notes=noted.notes,
    )


@dataclass(frozen=True)
class GroupAggregate(GroupStep):
    by: str
    column: str
    how: str
    op: ClassVar[str] = "group_aggregate"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick(rows.having("label"), rng)
        column = pick_use(rows, "amount", rng, but=by.name) if by else None
        if by is None or column is None:
            return None
        how = rng.choice(["mean", "mean", "median", "total", *AGGREGATES])
        return cls(by.name, column.name, how)

    def plain(self, rows: Rows) -> Series:
        groups = split(rows, self.by, rows.values(self.column))
        found = {label: [x for x in some if x is not None] for label, some in groups.items()}
        if not all(found.values()):
            raise Refused("a group without a value")
        how = AGGREGATES[self.how]
        return series(
            rows.ignoring(self.column),
            self.by,
            {label: aggregate(self.how, some) for label, some in found.items()},
            whole=how.keeps and rows.column(self.column).kind == "integer",
            additive=how.additive and min(min(some) for some in found.values()) >= 0,
        )

    def expression(self, name: str) -> str:
        grouped = f"{name}.groupby({literal(self.by)})[{literal(self.column)}]"
        return f"{grouped}.{AGGREGATES[self.how].pandas}"

    def measure(self) -> str:
        return AGGREGATES[self.how].of(self.column)


@dataclass(frozen=True)
class GroupSize(GroupStep):
    by: str
    op: ClassVar[str] = "group_size"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick(rows.having("label"), rng)
        return cls(by.name) if by else None

    def plain(self, rows: Rows) -> Series:
        groups = split(rows, self.by, rows.values(self.by))
        sizes: dict[Any, float] = {label: len(some) for label, some in groups.items()}
        return series(rows, self.by, sizes, whole=True, additive=True)

    def expression(self, name: str) -> str:
        return f"{name}.groupby({literal(self.by)}).size()"

    def measure(self) -> str:
        return "number of rows"

    @property
    def short(self) -> str:
        return "count"


@dataclass(frozen=True)
class GroupDistinct(GroupStep):
    by: str
    column: str
    op: ClassVar[str] = "group_distinct"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick(rows.having("label"), rng)
        fits = rows.having("label") + rows.having("words")
        counted = [c for c in fits if "key" not in c.uses]
        column = pick(counted, rng, but=by.name) if by else None
        return cls(by.name, column.name) if by and column else None

    def plain(self, rows: Rows) -> Series:
        groups = split(rows, self.by, rows.values(self.column))
        counts: dict[Any, float] = {
            label: len({x for x in some if x is not None}) for label, some in groups.items()
        }
        return series(rows.ignoring(self.column), self.by, counts, whole=True, additive=False)

    def expression(self, name: str) -> str:
        return f"{name}.groupby({literal(self.by)})[{literal(self.column)}].nunique()"

    def measure(self) -> str:
        return f'number of different "{self.column}" values'


@dataclass(frozen=True)
class GroupShare(GroupStep):
    """The share of a group's rows that meet a condition."""

    by: str
    condition: Condition
    op: ClassVar[str] = "group_share"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick(rows.having("label"), rng)
        condition = rng.choice(CONDITIONS).draw(rows, rng)
        if by is None or condition is None or f'"{by.name}"' in condition.clause():
            return None
        return cls(by.name, condition)

    def plain(self, rows: Rows) -> Series:
        groups = split(rows, self.by, self.condition.holds(rows))
        shares = {label: sum(some) / len(some) for label, some in groups.items()}
        noted = counting(rows, self.condition)
        return series(noted, self.by, shares, whole=False, additive=False)

    def expression(self, name: str) -> str:
        return f"({self.condition.mask(name)}).groupby({name}[{literal(self.by)}]).mean()"

    def measure(self) -> str:
        return f"fraction (0 to 1) of its rows where {self.condition.clause()}"

    @property
    def short(self) -> str:
        return "fraction"


GROUPS: tuple[type[GroupStep], ...] = (GroupAggregate, GroupSize, GroupDistinct, GroupShare)
