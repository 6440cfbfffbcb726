"""How many rows are held out for the evaluation loss, and at which steps it is measured."""

import math

FEWEST, MOST = 8, 128
EVALUATIONS = 10  # in a run, at most
SPACED = 4  # checkpoints kept to choose from


def count(rows: int, *, share: float) -> int:
    """Return the number of rows to hold out of ``rows``; 0 if the share is below FEWEST, too few for a loss."""
    wanted = min(int(share * rows), MOST)
    return wanted if wanted >= FEWEST else 0


def every(steps: int) -> int:
    """Return the optimizer steps between two evaluations in a run of ``steps``; the last step is also evaluated."""
    return math.ceil(steps / EVALUATIONS)


def times(steps: int) -> int:
    """Return the number of evaluations in a run of ``steps`` that does not stop early."""
    return math.ceil(steps / every(steps))


def spaced(steps: int) -> set[int]:
    """Return the steps whose checkpoints are kept to choose from: SPACED at most, with the last step, each
    one at which the loss is measured.
    """
    measured = sorted({*range(every(steps), steps + 1, every(steps)), steps})
    wanted = min(SPACED, len(measured))
    return {measured[math.ceil(len(measured) * n / wanted) - 1] for n in range(1, wanted + 1)}
