"""The step that brings in another table."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from datagen.questions.procedural.state import Refused, Rows
from datagen.questions.procedural.step import RowStep, literal
from datagen.questions.procedural.table import joined_uses


@dataclass(frozen=True)
class Join(RowStep):
    """Adds the columns of another table by a key that is unique there."""

    table: str
    key: str
    op: ClassVar[str] = "join"

    @classmethod
    def draw(cls, rows: Rows, rng: random.Random) -> Self | None:
        pairs = [
            (table, key)
            for table, other in sorted(rows.others.items())
            for key in sorted(set(other.columns) & set(rows.columns))
            if "key" in other.columns[key].uses
            and other.columns[key].kind == rows.columns[key].kind
            and set(other.columns[key].values) & set(rows.present(key))
        ]
        return cls(*rng.choice(pairs)) if pairs else None

    def plain(self, rows: Rows) -> Rows:
        other = rows.others[self.table]
        if set(other.columns) & set(rows.columns) != {self.key}:
            raise Refused("two columns of one name")
        place = {key: at for at, key in enumerate(other.column(self.key).values)}
        found = [key in place for key in rows.values(self.key)]
        kept = rows.keep(found)
        at = [place[key] for key in kept.values(self.key)]
        for column in other.columns.values():
            if column.name != self.key:
                values = [column.values[i] for i in at]
                uses = joined_uses(column, values)
                kept = kept.add(column.name, column.kind, uses, values, like=column)
        return replace(kept, others={})

    def code(self, name: str) -> str:
        return f"rows = {name}.merge(tables[{literal(self.table)}], on={literal(self.key)})"

    def sentence(self, these: str) -> str:
        whose = "each row" if these == "all rows" else "each of these rows"
        return (
            f'Join to {whose} the row of the table "{self.table}" that has the same '
            f'"{self.key}"; drop rows without a match.'
        )
