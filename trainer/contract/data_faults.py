"""The faults of a file in groups: one line a cause, with how many there are and the first lines.

A fault is ``what: what to do``. What it quotes of a row is short, however long the row is.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from trainer.contract.command.errors import BadData
from trainer.contract.row_keys import NAMES

SHOWN_LINES = 5
QUOTED = 60  # characters of a value in a message
LONGEST = 400  # characters of a fault, with what it quotes
# What differs between two faults of one cause: quoted texts, numbers.
VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:[.,]\d+)*")


def quote(value: object) -> str:
    """Return ``repr(value)``, cut to a length that a terminal can show."""
    text = repr(value[: QUOTED + 1] if isinstance(value, str) else value)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."


class Faults:
    """Faults of the file at ``path`` as they are found; true if there is one."""

    def __init__(self, path: Path, what: str = "faults") -> None:
        self._path = path
        self._what = what
        self._found: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, line: int, text: str, *, kind: str | None = None) -> None:
        """Add a fault; those of one ``kind`` are one cause. Without it, quoted values and numbers may differ."""
        short = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        self._found[VARIES.sub(_kept, short) if kind is None else kind].append((line, short))

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def grouped(self) -> list[str]:
        """One line a cause, those with most faults first."""
        groups = sorted(self._found.values(), key=lambda group: -len(group))
        return [f"{self._path}:{group[0][0]}: {group[0][1]}{self._more(group)}" for group in groups]

    def every(self) -> list[str]:
        """One line a fault, in the order of the file."""
        found = sorted(one for group in self._found.values() for one in group)
        return [f"{self._path}:{line}: {text}" for line, text in found]

    def bad_data(self) -> BadData:
        count = f"{len(self)} fault" + ("s" if len(self) > 1 else "")
        return BadData(
            f"{self._path} cannot be trained on: {count}",
            "correct the rows",
            faults=self.grouped(),
            every=self.every(),
        )

    def _more(self, group: Sequence[tuple[int, str]]) -> str:
        if len(group) == 1:
            return ""
        lines = [*dict.fromkeys(line for line, _ in group)]
        first = ", ".join(map(str, lines[:SHOWN_LINES])) + (
            ", ..." if len(lines) > SHOWN_LINES else ""
        )
        return f" ({len(group)} {self._what}; line{'s' if len(lines) > 1 else ''} {first})"


def _kept(quoted: re.Match[str]) -> str:
    """Names of keys tell causes apart; other quoted texts and numbers do not."""
    return quoted[0] if quoted[0].strip("'\"") in NAMES else ""
