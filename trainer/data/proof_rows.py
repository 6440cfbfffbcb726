"""The rows on which attention and the saved adapter are proved: the longest of the data, and short ones."""

from collections.abc import Sequence

ROWS = 4
AMONG = 64  # the first ones of the data, of which the shortest are taken
# Tokens of a row that show all that attention does, where no window is shorter than the row.
MOST = 512
# So many tokens past a window show whether it is kept.
PAST = 64


def choose(lengths: Sequence[int], window: int) -> list[tuple[int, int]]:
    """Return (number of the row, tokens from its start to take), the longest row first."""
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    among = (number for number in range(min(AMONG, len(lengths))) if number != longest)
    short = sorted(among, key=lengths.__getitem__)[: ROWS - 1]
    most = max(MOST, window + PAST) if window < lengths[longest] else MOST
    return [(number, min(lengths[number], most)) for number in (longest, *short)]
