"""The flags that say how a CSV is read, for every verb that takes CSV files."""

from __future__ import annotations

import argparse
import codecs
import shlex
import sys
from typing import TYPE_CHECKING

from trainer.contract.command.errors import BadData, Usage
from trainer.contract.command.slow_work import telling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from datagen.tables.infer import ReadingOptions
    from datagen.tables.table import TableProfile

KINDS = ("integer", "number", "boolean", "date", "text")
DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def add_reading_flags(verb: argparse.ArgumentParser) -> None:
    """Add the flags; what is not given is inferred for each file."""
    group = verb.add_argument_group("how the CSV files are read (default: inferred)")
    group.add_argument("--delimiter", type=_delimiter, help="delimiter, such as ';' or tab")
    group.add_argument("--encoding", type=_encoding, help="encoding, such as utf-8, cp1252, utf-16")
    group.add_argument(
        "--no-header",
        action="store_true",
        help="the first line holds values: the columns are named column_1, column_2, ...",
    )
    group.add_argument(
        "--skip-lines",
        type=_line_count,
        metavar="N",
        help="number of lines above the header to skip",
    )
    group.add_argument("--decimal", choices=[".", ","], help="decimal mark")
    group.add_argument(
        "--thousands", metavar="MARKS", help="marks between groups of digits, such as . or ' "
    )
    group.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="text that also means a missing value; repeatable",
    )
    group.add_argument(
        "--not-missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="text that is a value, not missing, such as NA; repeatable",
    )
    group.add_argument(
        "--kind",
        action="append",
        default=[],
        type=_kind,
        metavar="COL=KIND",
        help=f"kind of a column: {', '.join(KINDS)}; repeatable",
    )
    group.add_argument(
        "--date-format",
        action="append",
        default=[],
        type=_format,
        metavar="COL=FORMAT",
        help="date format of a column, such as day=%%d/%%m/%%Y; repeatable",
    )


def reading_options(args: argparse.Namespace) -> ReadingOptions:
    """Return the values of the flags."""
    from datagen.tables.infer import ReadingOptions

    return ReadingOptions(
        encoding=args.encoding,
        header=not args.no_header,
        skip_lines=args.skip_lines,
        delimiter=args.delimiter,
        decimal=args.decimal,
        thousands=args.thousands,
        missing=tuple(args.missing),
        kept=tuple(args.not_missing),
        kinds=dict(args.kind),
        formats=dict(args.date_format),
    )


def profiles_of(args: argparse.Namespace) -> tuple[list[TableProfile], list[str]]:
    """The profiles of `args.csv`, read as the flags say, and a line for each file that cannot be read.

    These files are left out and named on stderr. Raises NotFound, BadData when no file can be read, and
    Usage when a flag names a column that no table has.
    """
    given = reading_options(args)
    found, faults = read_profiles(args.csv, given)
    if not found:
        raise unreadable(faults, of=len(args.csv))
    check_columns(given, found)
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    if faults:
        print(f"{len(faults)} of {len(args.csv)} tables are left out", file=sys.stderr)
    if noted := [shlex.quote(str(table.path)) for table in found if table.notes]:
        print(
            f"{len(noted)} of {len(found)} tables have notes on how they are read: "
            f"datagen profile {' '.join(noted)}",
            file=sys.stderr,
        )
    return found, [str(fault) for fault in faults]


def read_profiles(
    paths: Sequence[Path], given: ReadingOptions
) -> tuple[list[TableProfile], list[BadData]]:
    """The profiles of the files, and why the others have none. Raises NotFound for a missing file."""
    from datagen.tables.infer import check_file

    for path in paths:
        check_file(path)
    found, faults = [], []
    for path in paths:
        try:
            found.append(profile_of(path, given))
        except BadData as fault:
            faults.append(fault)
        except Exception as error:  # noqa: BLE001 - one table must not end the work on the others
            reason = f"{type(error).__name__}: {error}"
            faults.append(BadData(f"{path}: cannot be read: {reason}", "report this as a bug"))
    return found, faults


def unreadable(faults: Sequence[BadData], *, of: int) -> BadData:
    """One fault for all files that cannot be read."""
    if len(faults) == 1:
        return faults[0]
    return BadData(
        f"{len(faults)} of {of} files cannot be read",
        "fix them, or leave them out",
        faults=[str(fault) for fault in faults],
    )


def profile_of(path: Path, given: ReadingOptions) -> TableProfile:
    """The profile of one file, which is named when it takes long. Raises NotFound and BadData."""
    from datagen.tables.table import profile_table

    with telling(lambda: f"reading {path.name}"):
        return profile_table(path, given=given)


def check_columns(given: ReadingOptions, tables: Iterable[TableProfile]) -> None:
    """Raise Usage when a flag names a column that no table has."""
    names = {column.name for table in tables for column in table.columns}
    for name in (*given.kinds, *given.formats):
        if name not in names:
            raise Usage(f"no column {name!r} in these files", f"choose from: {', '.join(names)}")


def _delimiter(text: str) -> str:
    mark = DELIMITERS.get(text, text)
    if len(mark) != 1 or not mark.isascii() or mark in '"\r\n\0':
        raise argparse.ArgumentTypeError(f"{text!r} is not one ASCII character")
    return mark


def _line_count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)


def _encoding(text: str) -> str:
    try:
        name = codecs.lookup(text).name
    except LookupError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an encoding that Python knows") from None
    return "utf-8-sig" if name == "utf-8" else name


def _kind(text: str) -> tuple[str, str]:
    name, _, kind = text.rpartition("=")
    if not name or kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=KIND, KIND of {', '.join(KINDS)}")
    return name, kind


def _format(text: str) -> tuple[str, str]:
    name, _, form = text.partition("=")
    if not name or "%" not in form:
        raise argparse.ArgumentTypeError(f"{text!r} is not COL=FORMAT with % codes in it")
    return name, form
