"""Read, profile and hash CSV files. What is inferred here is what prompts and templates use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datagen.episode import Reading
from datagen.reading.infer import Given, infer, read_as

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = Path(__file__).parent / "tables"
CATEGORY_LIMIT = 50
Meaning = Literal["identifier", "category", "amount", "date", "text", "constant", "empty"]


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """A column: `kind` is integer, number, boolean, date or text; `meaning` what it is good for.

    `low`/`high` are only for numbers, `first`/`last` (ISO) only for dates, as is `format`, the strptime
    format of the text in the file. `unit` is the currency or % that stood beside the numbers.
    `examples` are the most frequent values as text, the smallest first among equals.
    """

    name: str
    kind: str
    meaning: Meaning = "text"
    missing: int
    distinct: int
    low: float | None = None
    high: float | None = None
    first: str | None = None
    last: str | None = None
    format: str | None = None
    unit: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        return self.kind in {"integer", "number"}


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """A table by content: `sha256` is that of the file's bytes, `reading` how they become a frame.

    `notes` say, one line each, what was decided that a person may want to decide otherwise.
    """

    name: str
    path: Path
    sha256: str
    rows: int
    columns: list[ColumnProfile]
    reading: Reading = field(default_factory=Reading)
    notes: tuple[str, ...] = ()

    def categories(self) -> list[ColumnProfile]:
        """Text columns whose values repeat: 2 to 50 values, on average at least twice each."""
        return [
            c
            for c in self.columns
            if c.kind == "text"
            and 2 <= c.distinct <= CATEGORY_LIMIT
            and 2 * c.distinct <= self.rows
        ]

    def amounts(self) -> list[ColumnProfile]:
        """Number columns with at least three values."""
        return [c for c in self.columns if c.numeric and c.distinct > 2]


def bundled_tables() -> list[Path]:
    """The CSV files that come with the package; `tables/README.md` states their licences."""
    return sorted(BUNDLED.glob("*.csv"))


def read_table(path: Path, reading: Reading | None = None) -> pd.DataFrame:
    """Read one CSV into a data frame as `reading` says; without one it is inferred.

    Raises NotFound, and BadData naming the file and the line, or the column and the value.
    """
    return (infer(path) if reading is None else read_as(path, reading)).frame


def profile_table(
    path: Path, reading: Reading | None = None, *, given: Given | None = None
) -> TableProfile:
    """Profile one CSV, read as `reading` says or, without one, as `given` and its content say.

    Raises as `read_table` does.
    """
    table = infer(path, given) if reading is None else read_as(path, reading)
    return TableProfile(
        name=path.stem,
        path=path,
        sha256=table.sha256,
        rows=len(table.frame),
        columns=[_profile_column(str(n), table.frame[n]) for n in table.frame.columns],
        reading=table.reading,
        notes=table.notes,
    )


def _profile_column(name: str, column: pd.Series[Any]) -> ColumnProfile:
    kind = _kind(column)
    numeric = kind in {"integer", "number"}
    return ColumnProfile(
        name=name,
        kind=kind,
        missing=int(column.isna().sum()),
        distinct=int(column.nunique()),
        low=float(column.min()) if numeric else None,
        high=float(column.max()) if numeric else None,
    )


def _kind(column: pd.Series[Any]) -> str:
    """The kind by meaning: whole numbers with gaps are integers although pandas holds floats."""
    import pandas as pd

    values = column.dropna()
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column):
        return "integer" if len(values) and bool((values % 1 == 0).all()) else "number"
    if len(values) and values.astype(str).str.fullmatch(r"\d{4}[-/]\d{2}[-/]\d{2}").all():
        return "date"
    return "text"
