"""Read a CSV into a data frame by its Reading; all readers use this module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.episode import Reading
from datagen.tables.blanks import needing_plain_blanks, needing_trim, plain_blanks, trim
from datagen.tables.column_types import convert, shown
from datagen.tables.missing_values import missing_texts
from datagen.tables.records import open_text
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 1000  # values among which a short example is found


def parse(
    path: Path, reading: Reading, names: list[str], rows: int, *, only: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the file; columns of `reading.kinds` as text, the others as pandas finds them.

    `only`: read these columns alone. Raises BadData when pandas sees another number of records than the
    scan.
    """
    import pandas as pd

    # By position: pandas applies options given for a name to repetitions of that name too.
    text: dict[Any, Any] = {at: str for at, name in enumerate(names) if name in reading.kinds}
    missing: dict[Any, Any] = {at: [*missing_texts(reading, n)] for at, n in enumerate(names)}
    chosen = [at for at, name in enumerate(names) if only is None or name in only]
    try:
        with open_text(path, reading) as file:
            frame = pd.read_csv(
                file,
                sep=reading.delimiter,
                skipinitialspace=reading.skip_space,
                decimal=reading.decimal,
                header=0 if reading.header else None,
                names=range(len(names)),
                usecols=chosen,
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
    frame.columns = pd.Index([names[at] for at in chosen])
    if not rows:
        raise BadData(f"{path}: no rows below the header", "give a CSV with rows")
    if len(frame) != rows:
        raise BadData(
            f"{path}: the file has {rows} records, but pandas reads {len(frame)} rows",
            "look for quotes in the middle of fields, and write the file again",
        )
    return trimmed(frame, reading)[0] if reading.trim else frame


def trimmed(frame: pd.DataFrame, reading: Reading) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The frame with its texts trimmed, and examples of what was: a text before and after, by column.

    What means missing is missing now although blanks stood around it.
    """
    import pandas as pd

    made, examples = frame.copy(deep=False), {}
    for name in map(str, frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pd.StringDtype) and len(odd := needing_trim(column)):
            changed = odd.map(trim)
            missing = changed.isin(missing_texts(reading, name))
            made[name] = column.copy()
            made.loc[odd.index, name] = changed.mask(missing)
            shortest = min(map(str, odd.head(SHOWN)), key=len)
            examples[name] = [shortest, trim(shortest)]
    return made, examples


def to_kinds(frame: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """The frame with every column of `reading.kinds` converted."""
    import pandas as pd

    columns = {
        name: convert(name, column, reading.kinds[name], reading)
        if name in reading.kinds
        else column
        for name, column in ((str(n), frame[n]) for n in frame.columns)
    }
    made = pd.DataFrame(columns, index=frame.index)
    return with_plain_blanks(made)[0] if reading.trim else made


def with_plain_blanks(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The frame with no-break blanks in texts as blanks, and an example for each column with such."""
    import pandas as pd

    made, examples = frame.copy(deep=False), {}
    for name in map(str, frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pd.StringDtype) and len(odd := needing_plain_blanks(column)):
            made[name] = column.copy()
            made.loc[odd.index, name] = odd.map(plain_blanks)
            examples[name] = shown(min(map(str, odd.head(SHOWN)), key=len))
    return made, examples
