"""The rows, or the groups, that some steps of a program leave: their columns, and the SQL that selects them."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, cast

from datagen.questions.cells import Cells
from datagen.questions.database import Database
from datagen.questions.family import Unasked
from datagen.questions.slots.bound import Bound, column
from datagen.questions.slots.draw import Draw, safe
from datagen.tables.column_profile import CATEGORY_LIMIT, ColumnProfile

if TYPE_CHECKING:
    from datagen.tables.table import TableProfile

FRESH = 0.85
SCORE = "(score)"
ROWS_A_LABEL = 4
# What the optimizer does with small tables takes longer than the query itself.
SETUP = (
    "create macro near(a, b) as abs(a - b) <= 1e-9 * greatest(1, abs(a), abs(b))",
    """create macro border(x, edge, made) as
    near(x, edge) and not (x = edge and not (made and typeof(x) = 'DOUBLE'))""",
    "create macro lacks(x) as count(x) < count(*)",
    "create macro cancels(x, most) as x <> 0 and abs(x) < 1e-9 * most",
    """set disabled_optimizers = 'join_order,filter_pushdown,statistics_propagation,cte_filter_pusher,
common_subplan,late_materialization,compressed_materialization'""",
)


@dataclass(frozen=True)
class Column:
    """`made` by a step, from other columns; `fresh`: from a step, and so drawn before others."""

    profile: ColumnProfile
    sql: str
    made: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Frame:
    """`parts` are the common table expressions so far; `group` names the groups and their score, as slots.

    `facts` are what steps give and need: "count unknown", and of groups "ordered" (by time) and "adds up".
    """

    tables: Sequence[TableProfile]
    cells: Sequence[Cells]
    database: Database
    columns: Mapping[str, Column]
    parts: tuple[str, ...] = ()
    facts: frozenset[str] = frozenset()
    group: Mapping[str, Bound] = field(default_factory=dict)

    @cached_property
    def so_far(self) -> RowsSoFar:
        return RowsSoFar(self)

    @property
    def rows(self) -> str:
        """Their name in SQL."""
        return f"s{len(self.parts)}" if self.parts else "t"

    @property
    def name(self) -> str:
        """Their name in code."""
        return "rows" if self.parts else "df"

    def fetch(self, select: str) -> list[tuple[Any, ...]]:
        made = [f"s{at} as ({part})" for at, part in enumerate(self.parts, 1)]
        return self.database.rows(f"{'with ' if made else ''}{', '.join(made)} {select}")

    def named(self, name: str) -> Bound:
        """The column of this name. Raises Unasked if it is missing."""
        if name not in self.columns:
            raise Unasked("a step lacks its column")
        return replace(column(name), sql=self.columns[name].sql)

    def add(self, name: str, found: Column) -> Frame:
        """Raises Unasked where there is a column of this name."""
        if name in self.columns:
            raise Unasked("two columns of one name")
        return replace(self, columns={**self.columns, name: found})

    def joined(self, key: str) -> Frame:
        """The columns of the second table beside those of the first; `key` is the one it is joined on."""
        found = self
        for at, profile in enumerate(self.tables[1].columns):
            if profile.name == key:
                continue
            again = 2 <= profile.distinct <= CATEGORY_LIMIT
            often = ROWS_A_LABEL * profile.distinct <= self.tables[0].rows
            if profile.kind == "text" and again and often:
                profile = replace(profile, meaning="category")  # noqa: PLW2901 - its values repeat now
            found = found.add(profile.name, Column(profile, f"u{at}", fresh=True))
        return found

    def grouped(self, by: Bound) -> Frame:
        found = self.columns[str(by.value)].profile
        ordered = found.kind == "integer" and found.meaning == "calendar"
        score = Column(
            ColumnProfile(name=SCORE, kind="number", meaning="amount", missing=0, distinct=3),
            "score",
            fresh=True,
        )
        return replace(
            self,
            columns={SCORE: score},
            facts=frozenset({"ordered"} if ordered else ()),
            group={"c": by, "score": Bound(SCORE, SCORE, SCORE, sql="score")},
        )


def start(tables: Sequence[TableProfile]) -> Frame:
    """All rows of the first table. Columns that have no safe name, or values that only case tells apart, are left out."""
    cells = [Cells.of(profile) for profile in tables]
    database = Database(cells, setup=SETUP)
    columns = {
        c.name: Column(c, f"c{at}")
        for at, c in enumerate(tables[0].columns)
        if safe(c.name) and _clear(c, cells[0])
    }
    return Frame(tables, cells, database, columns)


def _clear(profile: ColumnProfile, cells: Cells) -> bool:
    """No two texts of one spelling, as "Yes" and "yes"; no time of day in a date."""
    if profile.kind == "date":
        moments = (moment for moment in cells.dates(profile.name) if moment is not None)
        return all(moment.time() == moment.min.time() for moment in moments)
    if profile.kind == "text":
        values = {v for v in cells.text[profile.name] if v is not None}
        return len({v.casefold() for v in values}) == len(values)
    return True


class RowsSoFar:
    """A frame's columns as `Cells` gives those of a table: the file's own in all rows, others by a query."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.values = cache(self._values)
        self.numbers = self.values

    @property
    def rows(self) -> int:
        """How many groups there are."""
        return len(self.values(SCORE))

    def _values(self, name: str) -> list[Any]:
        frame, found = self._frame, self._frame.columns[name]
        if not found.fresh:
            return frame.cells[0].values(name)
        return [row[0] for row in frame.fetch(f"select {found.sql} from {frame.rows}")]

    def days(self, name: str) -> list[dt.date | None]:
        if not self._frame.columns[name].fresh:
            return self._frame.cells[0].days(name)
        return [day and dt.date.fromisoformat(day[:10]) for day in self.values(name)]


@dataclass
class FrameDraw(Draw):
    """Fills the slots of a step from the rows so far. `raw`: from columns of the file alone."""

    frame: Frame = field(kw_only=True)
    raw: bool = False

    def pick(self, fits: Callable[[ColumnProfile], bool], table: int = 0) -> Bound | None:
        """A column that fits and is in no other slot; one that the program made goes first mostly."""
        del table
        used = [bound.value for bound in self.bound.values()]
        free = [
            name
            for name, c in self.frame.columns.items()
            if fits(c.profile) and name not in used and not (self.raw and c.made)
        ]
        fresh = [name for name in free if self.frame.columns[name].fresh]
        if fresh and self.rng.random() < FRESH:
            free = fresh
        return self.frame.named(self.rng.choice(free)) if free else None

    def named(self, name: str, table: int = 0) -> Bound:
        return super().named(name, table) if table else self.frame.named(name)


def drawing(frame: Frame, rng: random.Random, *, raw: bool = False) -> FrameDraw:
    tables, cells = list(frame.tables), list(frame.cells)
    if frame.parts:
        tables[0] = replace(tables[0], columns=[c.profile for c in frame.columns.values()])
        cells[0] = cast("Cells", frame.so_far)
    return FrameDraw(tables, cells, rng, frame.database, dict(frame.group), frame=frame, raw=raw)
