"""Blanks around values, and characters that cannot be seen: two values that look equal must be equal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_NO_BREAK = "\u00a0\u2007\u202f"
_BLANKS = " \t\n\r\x0b\x0c\x85\u1680\u2000-\u200a\u2028\u2029\u205f\u3000" + _NO_BREAK
# Zero width, soft hyphens, marks of direction. Joiners (U+200C, U+200D) mean something inside words.
_HIDDEN = "\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
_EDGE = f"[{_BLANKS}{_HIDDEN}\u200c\u200d]"
_EDGES = re.compile(f"^{_EDGE}+|{_EDGE}+$|[{_HIDDEN}]+")
_INNER = re.compile(f"[{_NO_BREAK}]")


def trim(text: str) -> str:
    """The text without blanks around it and without characters that cannot be seen."""
    return _EDGES.sub("", text)


def plain_blanks(text: str) -> str:
    """The text with no-break blanks as blanks."""
    return _INNER.sub(" ", text)


def needing_trim(column: pd.Series[Any]) -> pd.Series[Any]:
    """The values of a text column that `trim` changes."""
    return column[column.str.contains(_EDGES.pattern, na=False)]


def needing_plain_blanks(column: pd.Series[Any]) -> pd.Series[Any]:
    """The values of a text column that `plain_blanks` changes."""
    return column[column.str.contains(_INNER.pattern, na=False)]
