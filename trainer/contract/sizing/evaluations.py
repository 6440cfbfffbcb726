"""How many rows are held out for the evaluation loss, and how often in a run it is measured."""

import math

FEWEST, MOST = 8, 128
EVALUATIONS = 10  # in a run, at most
SPACED = 4  # checkpoints kept to choose from


def count(rows: int, *, share: float) -> int:
    """Rows held out of ``rows``: none where the share is fewer than FEWEST, whose loss would say little."""
    wanted = min(int(share * rows), MOST)
    return wanted if wanted >= FEWEST else 0


def every(steps: int) -> int:
    """Optimizer steps between two evaluations of a run of ``steps``; one more follows the last step."""
    return math.ceil(steps / EVALUATIONS)


def times(steps: int) -> int:
    """How often a run of ``steps`` that does not stop early measures the loss."""
    return math.ceil(steps / every(steps))


def spaced(steps: int) -> set[int]:
    """Where a run of ``steps`` keeps checkpoints to choose from: SPACED at most, the last step among
    them, each where the loss is measured.
    """
    measured = sorted({*range(every(steps), steps + 1, every(steps)), steps})
    wanted = min(SPACED, len(measured))
    return {measured[math.ceil(len(measured) * n / wanted) - 1] for n in range(1, wanted + 1)}
