"""Other defensible readings of a question, most of which follow from the kinds of its slots or its SQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from datagen.questions.family import Truth, Unasked
from datagen.questions.truth import truth

if TYPE_CHECKING:
    from datagen.questions.records import Family
    from datagen.questions.slots.draw import Draw

Changed = tuple[str, str | None, str, str]
SAMPLE = "Divide by n - 1."
LINEAR = "Interpolate linearly."
# SQL, what another person may mean instead, and what the question then says.
FUNCTIONS = (
    ("stddev_samp", "stddev_pop", SAMPLE),
    ("var_samp", "var_pop", SAMPLE),
    ("covar_samp", "covar_pop", SAMPLE),
    ("quantile_cont", "quantile_lower", LINEAR),
    ("quantile_cont", "quantile_higher", LINEAR),
)
BETWEEN = re.compile(r"(\S+) between (\S+) and ([^\s)]+)")


def readings(family: Family, draw: Draw) -> Iterator[tuple[str, str | None, Truth]]:
    """The other readings of this question that have an answer: name, clause, answer."""
    for name, clause, sql, tables in [*_declared(family), *_derived(family, draw)]:
        try:
            yield name, clause, truth(family, draw, sql=sql, tables=tables)
        except Unasked:
            continue


def _declared(family: Family) -> Iterator[Changed]:
    for reading in family.readings:
        sql = reading.sql or family.sql
        for old, new in reading.replace.items():
            sql = sql.replace(old, new)
        yield reading.name, reading.clause, sql, ""


def _derived(family: Family, draw: Draw) -> Iterator[Changed]:
    """What follows from the kind of a slot, or from a word of the SQL."""
    sql = family.sql
    for old, new, clause in FUNCTIONS:
        if old in sql:
            yield new, clause, sql.replace(old, new), ""
    if BETWEEN.search(sql):
        open_ends = BETWEEN.sub(r"(\1 > \2 and \1 < \3)", sql)
        yield "ends excluded", "Both ends belong to the range.", open_ends, ""
    for name, slot in family.slots.items():
        if not family.states_gaps:
            for what, usual, text, tables in _gaps(name, slot.kind, slot.options, sql, draw):
                yield what, family.missing.get(name, usual), text, tables


def _gaps(
    name: str, kind: str, options: Mapping[str, object], sql: str, draw: Draw
) -> Iterator[Changed]:
    """Missing numbers as zeros, rows without a group as a group of their own, where there are such."""
    bound = draw.bound[name]
    if f"{{{name}}}" not in sql or kind not in {"amount", "category"} or "missing" in options:
        return
    if not draw.column(name).missing:
        return
    table = "tu"[bound.table]
    if kind == "amount":
        said, value = f"Skip missing {{{name}}}.", f"coalesce({bound.sql}, 0)"
        what = "missing as zero"
    else:
        said, what = f"No group for missing {{{name}}}.", "missing as a group"
        value = {
            "text": f"coalesce({bound.sql}, '(missing)')",
            "boolean": f"coalesce({bound.sql}::int, 2)",
        }.get(
            draw.column(name).kind,
            f"coalesce({bound.sql}, (select 1 + max({bound.sql}) from main.{table}))",
        )
    changed = f"select * replace ({value} as {bound.sql}) from main.{table}"
    yield what, said, sql, f"with {table} as ({changed}) "
