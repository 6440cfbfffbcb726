"""Steps that choose rows by looking at other rows."""

from __future__ import annotations

import random
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import NEAR, Refused, Rows, apart, border, clear_of
from datagen.questions.procedural.step import RowStep, literal, pick_use
from datagen.questions.procedural.steps.aggregate import quantile

FEWEST_LABELS = 3


@dataclass(frozen=True)
class KeepTop(RowStep):
    column: str
    count: int
    highest: bool
    op: ClassVar[str] = "keep_top"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        most = len(rows) // 2
        sizes = [n for n in (5, 10, 15, 20, 25, 30, 40, 50, 100, 200) if n <= most]
        return cls(column.name, rng.choice(sizes), rng.random() < 0.6) if column and sizes else None

    def plain(self, rows: Rows) -> Rows:
        inside = border(rows.present(self.column), self.count, highest=self.highest)
        kept = rows.keep(inside(x) for x in rows.values(self.column))
        values = kept.column(self.column).values
        return kept.ordered(sorted(kept.index, key=lambda at: values[at], reverse=self.highest))

    def code(self, name: str) -> str:
        how = "nlargest" if self.highest else "nsmallest"
        return f"rows = {name}.{how}({self.count}, {literal(self.column)})"

    def sentence(self, these: str) -> str:
        which = "highest" if self.highest else "lowest"
        start = "Take" if these == "all rows" else "Of these, keep"
        return f'{start} the {self.count} rows with the {which} "{self.column}".'


@dataclass(frozen=True)
class KeepBeyondQuantile(RowStep):
    column: str
    percent: int
    above: bool
    op: ClassVar[str] = "keep_beyond_quantile"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column = pick_use(rows, "amount", rng)
        percent = rng.choice([10, 20, 25, 75, 80, 90])
        return cls(column.name, percent, percent > 50) if column else None

    def plain(self, rows: Rows) -> Rows:
        present, share = rows.present(self.column), self.percent / 100
        limit = quantile(present, share)
        values = rows.values(self.column)
        flat = quantile(present, share - NEAR) == limit == quantile(present, share + NEAR)
        clear_of(values, limit, exact=flat and rows.exact(self.column))
        return rows.keep(x is not None and (x > limit if self.above else x < limit) for x in values)

    def code(self, name: str) -> str:
        column, sign = f"{name}[{literal(self.column)}]", ">" if self.above else "<"
        return f"rows = {name}[{column} {sign} {column}.quantile({self.percent / 100})]"

    def sentence(self, these: str) -> str:
        side = "above" if self.above else "below"
        start = "Take the rows" if these == "all rows" else "Of these, keep the rows"
        return (
            f'{start} whose "{self.column}" is {side} the {self.percent}th percentile of '
            f'"{self.column}" in {these} (linear interpolation).'
        )


@dataclass(frozen=True)
class KeepBeyondOwnGroup(RowStep):
    column: str
    by: str
    above: bool
    op: ClassVar[str] = "keep_beyond_own_group"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column, by = pick_use(rows, "amount", rng), pick_use(rows, "label", rng)
        if column is None or by is None or column.name == by.name:
            return None
        return cls(column.name, by.name, rng.random() < 0.5)

    def plain(self, rows: Rows) -> Rows:
        values, labels = rows.values(self.column), rows.values(self.by)
        groups = rows.grouped(self.column, self.by)
        means = {label: statistics.fmean(found) for label, found in groups.items()}
        kept = []
        for label, x in zip(labels, values, strict=True):
            mean = means.get(label)
            if mean is None or x is None:
                kept.append(False)
                continue
            if not apart(x, mean):
                raise Refused("a value on the border")
            kept.append(x > mean if self.above else x < mean)
        return rows.keep(kept)

    def code(self, name: str) -> str:
        sign = ">" if self.above else "<"
        mean = f'{name}.groupby({literal(self.by)})[{literal(self.column)}].transform("mean")'
        return f"own_mean = {mean}\nrows = {name}[{name}[{literal(self.column)}] {sign} own_mean]"

    def sentence(self, these: str) -> str:
        side = "above" if self.above else "below"
        start = "Take the rows" if these == "all rows" else "Of these, keep the rows"
        return (
            f'{start} whose "{self.column}" is {side} the average "{self.column}" of {these} '
            f'with the same "{self.by}".'
        )


@dataclass(frozen=True)
class KeepLargeGroups(RowStep):
    by: str
    least: int
    op: ClassVar[str] = "keep_large_groups"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        by = pick_use(rows, "label", rng)
        sizes = sorted(set(Counter(rows.present(by.name)).values())) if by else []
        if by is None or len(sizes) < FEWEST_LABELS:
            return None
        return cls(by.name, rng.choice(sizes[1:-1]))

    def plain(self, rows: Rows) -> Rows:
        labels = rows.values(self.by)
        sizes = Counter(label for label in labels if label is not None)
        return rows.keep(label is not None and sizes[label] >= self.least for label in labels)

    def code(self, name: str) -> str:
        by = literal(self.by)
        size = f"{name}.groupby({by})[{by}].transform('size')".replace("'", '"')
        return f"group_size = {size}\nrows = {name}[group_size >= {self.least}]"

    def sentence(self, these: str) -> str:
        start = "Take" if these == "all rows" else "Of these, keep"
        least = f"{self.least} rows" if these == "all rows" else f"{self.least} of these rows"
        return f'{start} only the rows whose "{self.by}" value is shared by at least {least}.'


@dataclass(frozen=True)
class KeepFirst(RowStep):
    """The first row of each label, in the order of the file; `gaps`: some rows have no label."""

    by: str
    gaps: bool
    op: ClassVar[str] = "keep_first"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        fits = [
            column
            for column in rows.columns.values()
            if column.uses & {"label", "words"} and not column.computed
            if 2 * len(set(rows.present(column.name))) < len(rows)
            if len(set(rows.present(column.name))) > 2 * FEWEST_LABELS
        ]
        if not fits:
            return None
        by = rng.choice(fits).name
        return cls(by, None in rows.values(by))

    def plain(self, rows: Rows) -> Rows:
        if list(rows.index) != sorted(rows.index):
            raise Refused("the first of rows in another order")
        seen: set[Any] = set()
        kept = []
        for label in rows.values(self.by):
            kept.append(label is not None and label not in seen)
            seen.add(label)
        return rows.keep(kept)

    def code(self, name: str) -> str:
        by = literal(self.by)
        given = f".dropna(subset=[{by}])" if self.gaps else ""
        return f"rows = {name}{given}.drop_duplicates({by})"

    def sentence(self, these: str) -> str:
        start = "For" if these == "all rows" else "Of these, for"
        gaps = f' (rows without "{self.by}" are dropped)' if self.gaps else ""
        return f'{start} each "{self.by}", keep only the row that comes first in the table{gaps}.'


SELECTIONS: tuple[type[RowStep], ...] = (
    KeepTop,
    KeepBeyondQuantile,
    KeepBeyondOwnGroup,
    KeepLargeGroups,
    KeepFirst,
)
