"""A table as programs see it: its columns with their plain values, and what may be done with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from datagen.questions.cells import Cells
from datagen.questions.procedural.state import Column, Rows, Use
from datagen.tables.column_profile import ColumnProfile
from datagen.tables.table import TableProfile

UNSAFE = set("\"'\\\n\r\t{}`")
MOST_LABELS = 50
MOST_NUMBER_LABELS = 30
ROWS_A_LABEL = 4
PERIODS = range(1500, 2201)
PERIOD_NAMES = re.compile(r"year|yr|founded|built|born|since|jahr|année|año", re.IGNORECASE)
FEWEST_WORDS = 8


def safe(text: str) -> bool:
    """Whether a name or value can stand between quotes in a question and in code."""
    return bool(text) and text == text.strip() and not UNSAFE & set(text) and text.isprintable()


def load(profiles: Sequence[TableProfile]) -> Rows:
    """All rows of the first table; the others can be joined. Columns that have no safe name are left out."""
    first, *others = profiles
    joinable = {profile.name: _rows(profile) for profile in others if safe(profile.name)}
    return _rows(first, joinable)


def _rows(profile: TableProfile, others: dict[str, Rows] | None = None) -> Rows:
    cells = Cells.of(profile)
    columns = {
        column.name: _column(column, cells) for column in profile.columns if safe(column.name)
    }
    return Rows(columns=columns, index=range(profile.rows), others=others or {})


def _column(profile: ColumnProfile, cells: Cells) -> Column:
    dates = profile.kind == "date"
    values: list[Any] = cells.days(profile.name) if dates else cells.values(profile.name)
    return Column(
        name=profile.name,
        kind=profile.kind,
        uses=frozenset(_uses(profile, values, cells)),
        values=values,
        format=profile.format,
    )


def joined_uses(column: Column, values: Sequence[Any]) -> set[Use]:
    """What a column is good for once its values are repeated by a join."""
    present = [value for value in values if value is not None]
    distinct = set(present)
    often = len(distinct) > 1 and len(present) >= ROWS_A_LABEL * len(distinct)
    if column.kind == "text":
        return _text_uses(distinct, often=often)
    uses = set(column.uses) - {"key", "label"}
    if often and (
        column.kind == "boolean"
        or (column.kind == "integer" and len(distinct) <= MOST_NUMBER_LABELS)
    ):
        uses.add("label")
    return uses


def _uses(profile: ColumnProfile, values: list[Any], cells: Cells) -> set[Use]:
    present = [value for value in values if value is not None]
    distinct = set(present)
    if len(distinct) < 2:
        return set()
    uses: set[Use] = set()
    if len(distinct) == len(values):
        uses.add("key")
    often = len(present) >= ROWS_A_LABEL * len(distinct)
    if profile.kind == "date":
        moments = [moment for moment in cells.dates(profile.name) if moment is not None]
        if all(moment.time() == moment.min.time() for moment in moments):
            uses.add("day")
    elif profile.kind == "boolean":
        uses.add("label")
    elif profile.kind == "text":
        uses |= _text_uses(distinct, often=often)
    elif profile.meaning != "identifier":
        uses |= _number_uses(profile, distinct, often=often)
    return uses


def _text_uses(distinct: set[str], *, often: bool) -> set[Use]:
    uses: set[Use] = set()
    if not all(safe(value) for value in distinct):
        return uses
    if len({value.casefold() for value in distinct}) < len(distinct):
        return uses  # "Yes" and "yes": one value or two?
    if often and len(distinct) <= MOST_LABELS:
        uses.add("label")
    if len(distinct) >= FEWEST_WORDS:
        uses.add("words")
    return uses


def _number_uses(profile: ColumnProfile, distinct: set[Any], *, often: bool) -> set[Use]:
    uses: set[Use] = set()
    whole = profile.kind == "integer"
    named = PERIOD_NAMES.search(profile.name)
    period = whole and bool(named) and all(x in PERIODS for x in distinct)
    if period:
        uses.add("period")
    elif len(distinct) > 2 and profile.meaning != "calendar":
        uses.add("amount")
    if whole and often and len(distinct) <= (MOST_LABELS if period else MOST_NUMBER_LABELS):
        uses.add("label")
    return uses
