"""A cell's error as one short line that is the same on every machine."""

import re
import sys
from pathlib import Path

MAX_CHARS = 300
CELL_NAME = "<cell>"

_PLACES = sorted({sys.prefix, sys.base_prefix, str(Path(__file__).parents[3])}, key=len)
_PATH = re.compile("(?:" + "|".join(re.escape(place) for place in _PLACES) + r")/[^\s'\"():,]*")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def error_text(error: BaseException) -> str:
    """Return ``Type: message`` for an exception raised by a cell, such as ``KeyError: 'lenght'``."""
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"{name}: a cell cannot exit"
    if isinstance(error, SyntaxError):
        line = f" (line {error.lineno})" if error.filename == CELL_NAME and error.lineno else ""
        return shorten(f"{name}: {error.msg}{line}")
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the cell may define what str() does
        message = ""
    return shorten(f"{name}: {message}" if message else name)


def shorten(text: str) -> str:
    """Put ``text`` on one line, without paths of this machine or addresses, and bound its length."""
    text = _PATH.sub(lambda match: Path(match[0]).name, _ADDRESS.sub("", " ".join(text.split())))
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 3] + "..."
