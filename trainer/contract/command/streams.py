"""Makes standard input and output usable, even if they were closed at the start."""

import io
import os
import sys
from pathlib import Path
from typing import TextIO


def make_usable() -> None:
    """Prevent failures by a closed stream, or by a character that its encoding lacks.

    A closed stream (``>&-``) becomes /dev/null, so that the next opened file does not get its number. A
    character that the encoding lacks is shown as its number.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or _null()
    sys.stdout = sys.stdout or _null()
    sys.stderr = sys.stderr or _null()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write_json() -> None:
    """Set standard output to UTF-8 for JSON, in any locale: an escaped character would break it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _null() -> TextIO:
    return Path(os.devnull).open("r+", encoding="utf-8")
