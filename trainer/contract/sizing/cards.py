"""Cards by their full name: memory, peak, and the names that people and other programs use."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Card:
    """A kind of card; the head of cards.toml explains the fields."""

    memory: int
    peak: int | None = None
    names: Sequence[str] = ()
    skypilot: Sequence[str] = ()
    note: str = ""
    runpod: bool = True


_FILE = Path(__file__).with_suffix(".toml")
CARDS = {name: Card(**facts) for name, facts in tomllib.loads(_FILE.read_text("utf-8")).items()}
PEAK = {name: card.peak for name, card in CARDS.items() if card.peak is not None}
