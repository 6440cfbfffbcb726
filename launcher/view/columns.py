"""Lines as wide as the terminal: what does not fit goes below, and a pipe has no width."""

import shutil
import textwrap

UNLIMITED = 10_000


def width() -> int:
    """Columns of the terminal, or of ``COLUMNS``; unlimited where there is neither."""
    return shutil.get_terminal_size((UNLIMITED, 24)).columns


def wrapped(text: str, *, indent: str = "") -> list[str]:
    """``text`` as lines that fit; those after the first are indented, and words stay whole."""
    more = indent + "  "
    return textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=more,
        break_long_words=False,
        break_on_hyphens=False,
    )


def beside(row: str, note: str) -> list[str]:
    """``row`` with ``note`` behind it where both fit, else below it."""
    if not note:
        return [row]
    one = f"{row}  {note}"
    return [one] if len(one) <= width() else [row, *wrapped(note, indent="    ")]


def shortened(row: str) -> str:
    """``row``, cut at the edge of the terminal."""
    return row if len(row) <= width() else f"{row[: width() - 1]}…"
