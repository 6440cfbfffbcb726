"""Read, profile and hash CSV files. What is inferred here is what prompts and templates use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.contract.errors import BadData, NotFound

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = Path(__file__).parent / "tables"
CATEGORY_LIMIT = 50


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """A column: `kind` is integer, number, boolean, date or text; `low`/`high` only for numbers."""

    name: str
    kind: str
    missing: int
    distinct: int
    low: float | None = None
    high: float | None = None

    @property
    def numeric(self) -> bool:
        return self.kind in {"integer", "number"}


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """A table by content: `sha256` is that of the file's bytes."""

    name: str
    path: Path
    sha256: str
    rows: int
    columns: list[ColumnProfile]

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


def read_table(path: Path) -> pd.DataFrame:
    """Read one CSV (UTF-8, comma, header line) into a data frame.

    Raises BadData naming the file and, where pandas knows it, the line.
    """
    import pandas as pd

    if not path.is_file():
        raise NotFound(
            f"{path}: {'not a file' if path.exists() else 'no such file'}", "give a CSV file"
        )
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig")
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


def profile_table(path: Path) -> TableProfile:
    """Profile one CSV. Raises BadData as `read_table` does."""
    frame = read_table(path)
    return TableProfile(
        name=path.stem,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=len(frame),
        columns=[_profile_column(str(name), frame[name]) for name in frame.columns],
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
