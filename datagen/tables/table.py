"""Read, profile and hash CSV files. What is inferred here is what prompts and templates use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.episode import Reading
from datagen.tables.column_profile import CATEGORY_LIMIT, ColumnProfile, profile_column
from datagen.tables.infer import ReadingOptions, infer, read_as

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = Path(__file__).parent / "bundled"


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
        """Number columns with at least three values, identifiers left out."""
        return [
            c for c in self.columns if c.numeric and c.distinct > 2 and c.meaning != "identifier"
        ]


def bundled_tables() -> list[Path]:
    """The CSV files that come with the package; `bundled/README.md` states their licences."""
    return sorted(BUNDLED.glob("*.csv"))


def read_table(path: Path, reading: Reading | None = None) -> pd.DataFrame:
    """Read one CSV into a data frame by `reading`; without one it is inferred.

    Raises NotFound, and BadData naming the file and the line, or the column and the value.
    """
    return (infer(path) if reading is None else read_as(path, reading)).frame


def profile_table(
    path: Path, reading: Reading | None = None, *, given: ReadingOptions | None = None
) -> TableProfile:
    """Profile one CSV, read by `reading` or, without one, by `given` and its content.

    Raises as `read_table` does.
    """
    table = infer(path, given) if reading is None else read_as(path, reading)
    return TableProfile(
        name=path.stem,
        path=path,
        sha256=table.sha256,
        rows=len(table.frame),
        columns=[
            profile_column(str(n), table.frame[n], table.reading) for n in table.frame.columns
        ],
        reading=table.reading,
        notes=table.notes,
    )
