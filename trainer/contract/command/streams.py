"""Standard input and output as every command needs them, whatever it was started with."""

import io
import os
import sys
from pathlib import Path
from typing import TextIO


def make_usable() -> None:
    """Let no stream end a command: not one that is closed, not one whose encoding lacks a sign.

    What was closed (``>&-``) reads as empty and writes to nowhere; its number must not go to the next
    file that is opened. What an encoding has no sign for is shown as its number.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or _nowhere()
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write_json() -> None:
    """JSON is UTF-8 on standard output, whatever the locale: an escaped sign would break it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _nowhere() -> TextIO:
    return Path(os.devnull).open("r+", encoding="utf-8")
