"""The flags that say how a CSV is read, for every verb that takes CSV files."""

from __future__ import annotations

import argparse
import codecs
from typing import TYPE_CHECKING

from trainer.contract.command.errors import Usage
from trainer.contract.command.slow_work import telling

if TYPE_CHECKING:
    from collections.abc import Iterable
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
        delimiter=args.delimiter,
        decimal=args.decimal,
        thousands=args.thousands,
        missing=tuple(args.missing),
        kept=tuple(args.not_missing),
        kinds=dict(args.kind),
        formats=dict(args.date_format),
    )


def profiles_of(args: argparse.Namespace) -> list[TableProfile]:
    """The profiles of `args.csv`, read as the flags say.

    Raises NotFound, BadData, and Usage when a flag names a column that no table has.
    """
    given = reading_options(args)
    found = [profile_of(path, given) for path in args.csv]
    check_columns(given, found)
    return found


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
