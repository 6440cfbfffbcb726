"""The tables of a question in DuckDB: the truth's own route to an answer, which shares no code with pandas."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from datagen.questions.family import Unasked

if TYPE_CHECKING:
    import duckdb

    from datagen.questions.cells import Cells

NAMES = ("t", "u")
REMEMBERED = 256  # answers to SQL: one question counts the same rows several times
TYPES = {"integer": "hugeint", "number": "double", "boolean": "boolean", "date": "timestamp"}
MACROS = (
    "create macro words(x) as list_filter(regexp_split_to_array(x, '[\\s\\p{Z}]+'), lambda w: w <> '')",
    "create macro quantile_lower(x, p) as list_sort(list(x))[1 + floor((count(x) - 1) * p + 1e-9)::int]",
    "create macro quantile_higher(x, p) as list_sort(list(x))[1 + ceil((count(x) - 1) * p - 1e-9)::int]",
)


def constant(value: object) -> str:
    """A value as SQL writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float):
        return f"{value!r}::double"
    return str(value)


class Database:
    """The first table is `t`, the second `u`. Their columns are `c0`, `c1` and on, in the file's order
    (SQL takes "A" and "a" for one name), and `place`, the row's number. Whole numbers are integers,
    dates timestamps, what is no number, boolean or date is text. `setup` is run before.
    """

    def __init__(self, tables: Sequence[Cells], *, setup: Sequence[str] = ()) -> None:
        self.tables = tables
        self._setup = (*MACROS, *setup)
        self.rows = lru_cache(REMEMBERED)(self._rows)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        found = duckdb.connect(config={"threads": 1})  # one order of adding: the same last bits
        for statement in self._setup:
            found.execute(statement)
        for name, table in zip(NAMES, self.tables, strict=False):
            _load(found, name, table)
        return found

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Raises Unasked where a cell cannot be computed with (a number out of range), or the SQL is wrong."""
        import duckdb

        try:
            found = self._connection.execute(sql).fetchall()
        except (duckdb.OutOfRangeException, duckdb.ConversionException):
            raise Unasked("not computable") from None
        except duckdb.Error as fault:
            raise Unasked(f"SQL: {str(fault).splitlines()[0]}") from None
        return [tuple(map(_plain, row)) for row in found]


def _plain(cell: Any) -> Any:
    """A cell as an answer has it: decimals as float, a date as ISO text."""
    if isinstance(cell, Decimal):
        return float(cell)
    return cell.isoformat() if isinstance(cell, dt.date) else cell


def _load(connection: duckdb.DuckDBPyConnection, name: str, table: Cells) -> None:
    columns, selected = {}, []
    for at, column in enumerate(table.text):
        kind = table.kinds.get(column, "text")
        cells = table.dates(column) if kind == "date" else table.values(column)
        texts = [None if cell is None else str(cell) for cell in cells]
        columns[f"c{at}"] = np.array(texts, dtype=object)
        selected.append(f"c{at}::{TYPES.get(kind, 'varchar')} as c{at}")
    connection.register("loaded", columns)
    connection.execute(
        f"create table {name} as select row_number() over () as place, {', '.join(selected)} from loaded"
    )
    connection.unregister("loaded")
