"""Sizes, money and scores as text for people."""

from collections.abc import Mapping
from typing import Any

SIZES = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"))


def size(count: int) -> str:
    """Bytes, as people write them."""
    for scale, unit in SIZES:
        if count >= scale:
            return f"{count / scale:.1f}{unit}"
    return f"{count} bytes"


def dollars(so_far: float, most: float) -> str:
    """Write what a run has cost."""
    return f"${so_far:.2f} so far, at most ${most:.2f}"


def compared_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Base against adapter as one line; none when the figures are not there."""
    figures = [comparison.get(name) for name in ("base", "adapter", "difference", "n")]
    if not all(isinstance(value, int | float) for value in figures):
        return []
    base, adapter, difference, n = figures
    return [f"tasks    {base:.3f} -> {adapter:.3f} ({difference:+.3f}), {n} questions answered"]
