"""The truth of a question: its SQL over the typed tables, refused where it is no single answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.questions.family import Truth, Unasked
from datagen.questions.takes import TAKES, close, ranked

if TYPE_CHECKING:
    from datagen.questions.records import Family
    from datagen.questions.slots.draw import Draw

KNOWN = "known("


def truth(family: Family, draw: Draw, *, sql: str | None = None, tables: str = "") -> Truth:
    """The answer, not rounded. `sql` instead of the family's; `tables` as a reading changes them.

    Raises:
        Unasked: there is no answer, or more than one.
    """
    slots = {name: bound.sql for name, bound in draw.bound.items()}

    def rows(text: str) -> list[tuple[object, ...]]:
        filled, counts = expanded(text.format_map(slots))
        for count in counts:
            if draw.database.rows(tables + count)[0][0] < family.least:
                raise Unasked("too few values")
        return draw.database.rows(f"{tables}select * from ({filled})" if tables else filled)

    for reason, text in family.refuse.items():
        if rows(text)[0][0]:
            raise Unasked(reason)
    for text in family.clear:
        ranked(rows(text), 1)
    for text in family.border:
        for value, limit in rows(text):
            _off_border(value, limit)
    return _finite(TAKES[family.take].answer(rows(sql or family.sql), draw))


def _off_border(value: object, limit: object) -> None:
    if value is None or limit is None or value == limit:
        return
    if close(float(value), float(limit)):  # type: ignore[arg-type]
        raise Unasked("border")


def _finite(found: Truth) -> Truth:
    values = [*found.values()] if isinstance(found, dict) else found
    for x in values if isinstance(values, list) else [values]:
        if x is None:
            raise Unasked("too few values")
        if isinstance(x, float) and not math.isfinite(x):
            raise Unasked("not computable")
    return found


def expanded(sql: str) -> tuple[str, Sequence[str]]:
    """SQL with each `known(a, b where condition)` as the rows of `t` that have both and meet it.

    Beside it, for each of them, SQL that counts these rows.
    """
    parts: list[str] = []
    counts: list[str] = []
    at = 0
    while (start := sql.find(KNOWN, at)) >= 0:
        end = _closing(sql, start + len(KNOWN))
        columns, _, condition = sql[start + len(KNOWN) : end].partition(" where ")
        table = "u" if columns.strip().startswith("u.") else "t"
        terms = [f"{name.strip()} is not null" for name in columns.split(",")]
        terms += [f"({condition})"] if condition else []
        rows = f"from {table} where {' and '.join(terms)}"
        parts += [sql[at:start], f"(select * {rows})"]
        counts.append(f"select count(*) {rows}")
        at = end + 1
    return "".join([*parts, sql[at:]]), [*dict.fromkeys(counts)]


def _closing(sql: str, start: int) -> int:
    """The place of the bracket that closes the one before `start`; those in quotes do not count."""
    depth, quoted = 1, False
    for at in range(start, len(sql)):
        quoted ^= sql[at] == "'"
        if not quoted:
            depth += (sql[at] == "(") - (sql[at] == ")")
            if not depth:
                return at
    raise Unasked("SQL without a closing bracket")
