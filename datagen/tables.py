"""Read, profile and hash CSV files. What is inferred here is what prompts and templates use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datagen.episode import Reading
from trainer.contract.errors import BadData, NotFound

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

    Raises BadData naming the file and, where pandas knows it, the line.
    """
    import pandas as pd

    if not path.is_file():
        raise NotFound(
            f"{path}: {'not a file' if path.exists() else 'no such file'}", "give a CSV file"
        )
    try:
        reading = reading or Reading()
        frame = pd.read_csv(
            path, encoding=reading.encoding, sep=reading.delimiter, decimal=reading.decimal
        )
    except UnicodeDecodeError as error:
        raise BadData(
            f"{path}: not UTF-8: {error.reason}", "convert it, e.g. with iconv -t UTF-8"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise BadData(f"{path}: empty file", "give a CSV with a header line and rows") from error
    except pd.errors.ParserError as error:
        raise BadData(
            f"{path}: {str(error).strip()}", "every line needs as many fields as the header"
        ) from error
    if frame.empty:
        raise BadData(f"{path}: a header but no rows", "give a CSV with rows")
    return frame


def profile_table(path: Path, reading: Reading | None = None) -> TableProfile:
    """Profile one CSV, read as `reading` says or as is inferred. Raises BadData as `read_table` does."""
    frame = read_table(path, reading)
    return TableProfile(
        name=path.stem,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(frame),
        columns=[_profile_column(str(name), frame[name]) for name in frame.columns],
        reading=reading or Reading(),
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
