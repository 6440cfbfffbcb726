"""A curve made of block characters: some lines of text, no terminal needed."""

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"
AXIS = 9  # columns left of the curve


def shortened(values: Sequence[float], columns: int) -> list[float]:
    """Return at most ``columns`` values: means of equal stretches."""
    if len(values) <= columns:
        return list(values)
    edges = [round(i * len(values) / columns) for i in range(columns + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]


def curve(values: Sequence[float], *, width: int, height: int) -> list[str]:
    """Draw ``values`` in ``height`` lines of at most ``width`` columns, highest and lowest named."""
    points = shortened(values, max(1, width - AXIS))
    if not points or height < 1:
        return []
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    levels = [1 + round((p - low) / span * (height * 8 - 1)) for p in points]
    lines = []
    for row in range(height - 1, -1, -1):
        label = {height - 1: _name(high), 0: _name(low)}.get(row, "")
        cells = "".join(BLOCKS[min(8, max(0, level - row * 8))] for level in levels)
        lines.append(f"{label:>{AXIS - 2}} |{cells}"[:width])
    return lines


def _name(value: float) -> str:
    """As exactly as the room beside the curve allows."""
    texts = [f"{value:.3g}", f"{value:.1e}", f"{value:.0e}"]
    return next(text for text in texts if len(text) <= AXIS - 2)
