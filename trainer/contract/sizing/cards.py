"""Cards by their full name: memory, speed, and the names that people and other programs use."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Card:
    """A kind of card; the head of cards.toml explains the fields."""

    memory: int
    peak: int
    bandwidth: int
    link: int = 24  # GB/s between cards over PCIe, as torch 2.13 estimates NCCL's
    names: Sequence[str] = ()
    skypilot: Sequence[str] = ()
    note: str = ""
    runpod: bool = True


_FILE = Path(__file__).with_suffix(".toml")
CARDS = {name: Card(**facts) for name, facts in tomllib.loads(_FILE.read_text("utf-8")).items()}
