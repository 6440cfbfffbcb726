"""What a chat shows: answers on stdout while they are written, remarks on stderr."""

from __future__ import annotations

import re
import sys

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

PIECES = re.compile(r"\n|[^\S\n]+|\S+")
STYLES = {"base": "bold yellow", "adapter": "bold green"}


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


class Screen:
    """`shows` False: answers are not shown. Lines of a terminal are broken between words."""

    def __init__(self, *, shows: bool = True) -> None:
        self.shows = shows
        self.out = Console(highlight=False)
        self.remarks = Console(stderr=True, highlight=False, markup=False)
        self._width = self.out.width if self.out.is_terminal else sys.maxsize
        self._word = ""  # the last one, which may not be complete
        self._column = 0

    def heading(self, label: str) -> None:
        if self.shows:
            self.out.out(label, style=STYLES.get(label))

    def write(self, text: str, *, end: bool = False) -> None:
        """Write the next part of an answer; `end` ends its last line."""
        pieces = PIECES.findall(self._word + printable(text)) if self.shows else []
        self._word = ""
        if pieces and not end and not pieces[-1].isspace():
            self._word = pieces.pop()
        for piece in pieces:
            if piece != "\n" and 0 < self._column > self._width - cell_len(piece):
                self.out.out("")
                self._column = 0
            self.out.out(piece, end="")
            self._column = 0 if piece == "\n" else self._column + cell_len(piece)
        if end and self._column:
            self.out.out("")
            self._column = 0

    def output(self, text: str) -> None:
        """What the answer's code printed."""
        if self.shows and (lines := printable(text).splitlines()):
            self.out.out("\n".join(f"  {line}" for line in lines), style="dim")

    def line(self, text: str = "", style: str | None = None) -> None:
        if self.shows:
            self.out.out(printable(text), style=style)

    def columns(self, items: dict[str, str]) -> None:
        """Remarks in two columns."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, about in items.items():
            table.add_row(name, about)
        self.remarks.print(table, style="dim")

    def remark(self, text: str, style: str = "dim") -> None:
        wide = not self.remarks.is_terminal
        self.remarks.print(printable(text), style=style, soft_wrap=wide)
