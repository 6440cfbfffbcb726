"""Steps over rows in the order of a date: changes, running totals, moving averages."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows
from datagen.questions.procedural.step import RowStep, literal, pick_use
from datagen.questions.procedural.steps.comparisons import days

LONGEST_WINDOW = 14


@dataclass(frozen=True)
class InOrder(RowStep):
    """A value that looks back: `how` is change, running_total or moving_average over `width` rows."""

    narrows: ClassVar[bool] = False

    how: str
    column: str
    day: str
    width: int
    format: str | None
    op: ClassVar[str] = "derive_in_order"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        column, day = pick_use(rows, "amount", rng), pick_use(rows, "day", rng)
        if column is None or day is None or len(rows) < 2 * LONGEST_WINDOW:
            return None
        if None in rows.values(column.name) or len(set(rows.present(day.name))) < len(rows):
            return None
        how = rng.choice(["change", "running_total", "moving_average"])
        width = rng.choice([3, 5, 7, LONGEST_WINDOW]) if how == "moving_average" else 1
        return cls(how, column.name, day.name, width, day.format)

    def plain(self, rows: Rows) -> Rows:
        when = rows.column(self.day).values
        if None in rows.values(self.day) or None in rows.values(self.column):
            raise Refused("missing values in an order")
        if len(set(rows.values(self.day))) < len(rows):
            raise Refused("rows of the same day in an order")
        inline = rows.ordered(sorted(rows.index, key=lambda at: when[at]))
        values = inline.values(self.column)
        kind = rows.column(self.column).kind if self.how != "moving_average" else "number"
        return inline.add(self.how, kind, {"amount"}, self._look_back(values))

    def _look_back(self, values: list[Any]) -> list[Any]:
        if self.how == "change":
            return [None, *(after - before for before, after in pairwise(values))]
        if self.how == "running_total":
            total: float = 0
            totals = []
            for x in values:
                total += x
                totals.append(total)
            return totals
        width = self.width
        ends = range(width, len(values) + 1)
        full = [math.fsum(values[end - width : end]) / width for end in ends]
        return [None] * (width - 1) + full

    def makes(self) -> tuple[str, ...]:
        return (self.how,)

    def code(self, name: str) -> str:
        when = days(name, self.day, self.format)
        back = {
            "change": "diff()",
            "running_total": "cumsum()",
            "moving_average": f"rolling({self.width}).mean()",
        }[self.how]
        order = f"rows = {name}.loc[{when}.sort_values().index]"
        return f"{order}\nrows = rows.assign({self.how}=rows[{literal(self.column)}].{back})"

    def sentence(self, these: str) -> str:
        which = "the rows" if these == "all rows" else "these rows"
        what = {
            "change": f'"{self.column}" minus the "{self.column}" of the row before (the first row '
            "has none)",
            "running_total": f'the total of "{self.column}" from the first row up to it',
            "moving_average": f'the average "{self.column}" of it and the {self.width - 1} rows '
            f"before it (only where there are that many)",
        }[self.how]
        return (
            f'Put {which} in order of "{self.day}", earliest first; for each row, let '
            f'"{self.how}" be {what}.'
        )

    def instead(self) -> dict[str, str]:
        return {self.how: self.column}
