"""Read a CSV into a data frame by its Reading; all readers use this module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.tables.column_types import convert
from datagen.tables.missing_values import missing_texts
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import pandas as pd


def parse(path: Path, reading: Reading, names: list[str], rows: int) -> pd.DataFrame:
    """Read the file; columns of `reading.kinds` as text, the others as pandas finds them.

    Raises BadData when pandas sees another number of records than the scan.
    """
    import pandas as pd

    # By position: pandas applies options given for a name to repetitions of that name too.
    text: dict[Any, Any] = {at: str for at, name in enumerate(names) if name in reading.kinds}
    missing: dict[Any, Any] = {at: [*missing_texts(reading, n)] for at, n in enumerate(names)}
    try:
        frame = pd.read_csv(
            path,
            encoding=reading.encoding,
            sep=reading.delimiter,
            skipinitialspace=reading.skip_space,
            decimal=reading.decimal,
            header=0,
            names=range(len(names)),
            index_col=False,
            dtype=text,
            na_values=missing,
            keep_default_na=False,
            low_memory=False,
        )
    except UnicodeDecodeError as error:
        raise BadData(
            f"{path}: not {reading.encoding}: {error.reason}", "choose the right --encoding"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise BadData(f"{path}: empty file", "give a CSV with a header line and rows") from error
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise BadData(
            f"{path}: {str(error).strip()}",
            "look for a quote that is never closed, or name the delimiter with --delimiter",
        ) from error
    frame.columns = pd.Index(names)
    if not rows:
        raise BadData(f"{path}: no rows below the header", "give a CSV with rows")
    if len(frame) != rows:
        raise BadData(
            f"{path}: the file has {rows} records, but pandas reads {len(frame)} rows",
            "look for quotes in the middle of fields, and write the file again",
        )
    return frame


def to_kinds(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """The frame with every column of `reading.kinds` converted."""
    import pandas as pd

    columns = {
        name: convert(name, column, reading.kinds[name], reading)
        if name in reading.kinds
        else column
        for name, column in ((str(n), frame[n]) for n in frame.columns)
    }
    return pd.DataFrame(columns, index=frame.index)
