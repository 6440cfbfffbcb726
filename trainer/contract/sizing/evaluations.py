"""How many rows are held out for the evaluation loss, and at which steps it is measured."""

import math

FEWEST, MOST = 8, 128
ROWS = 24  # of which FEWEST are held out
EVALUATIONS = 10  # of the adapter in a run, at most
SPACED = 4  # checkpoints kept to choose from


def count(rows: int, *, share: float) -> int:
    """Return the number of rows to hold out of ``rows``: the share, at least FEWEST; 0 of fewer than ROWS."""
    if share == 0 or rows < ROWS:
        return 0
    return max(FEWEST, min(int(share * rows), MOST))


def every(steps: int) -> int:
    """Return the optimizer steps between two evaluations in a run of ``steps``; the last step is also evaluated."""
    return math.ceil(steps / EVALUATIONS)


def times(steps: int) -> int:
    """Return the number of evaluations in a run of ``steps`` that does not stop early: the base, then the adapter."""
    return 1 + math.ceil(steps / every(steps))


def spaced(steps: int) -> set[int]:
    """Return the steps whose checkpoints are kept to choose from: SPACED at most, with the last step, each
    one at which the loss is measured.
    """
    measured = sorted({*range(every(steps), steps + 1, every(steps)), steps})
    wanted = min(SPACED, len(measured))
    return {measured[math.ceil(len(measured) * n / wanted) - 1] for n in range(1, wanted + 1)}
