"""Rows to train on in a live check: a few short ones, or some as long as a conversation about a table."""

import json
from pathlib import Path

WORDS = (
    "mean median count table column row value group sort filter submit print frame series "
    "float index date month total share rank first last where equals above below between"
).split()
SHORT, LONG = 8, 128  # rows
TURNS, WORDS_OF_A_TURN = 4, 110


def write_short(path: Path) -> Path:
    """Equal rows of one turn, for the bundled tiny model."""
    return _write(path, [[("what is 1 + 1?", "submit(2)")]] * SHORT)


def write_long(path: Path) -> Path:
    """Rows of several turns, about 900 tokens each, for a model at its real shape."""
    turns = [
        [(_words(row + turn), _words(3 * row + turn + 1)) for turn in range(TURNS)]
        for row in range(LONG)
    ]
    return _write(path, turns)


def _words(start: int) -> str:
    return " ".join(WORDS[(start + 7 * n) % len(WORDS)] for n in range(WORDS_OF_A_TURN))


def _write(path: Path, rows: list[list[tuple[str, str]]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            messages = [
                {"role": role, "content": text}
                for turn in row
                for role, text in zip(("user", "assistant"), turn, strict=True)
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path
