"""The order of the rows: a function of seed, epoch and their number alone.

It does not depend on the device or on which rows share a micro-batch, and is the same after a resume.
"""

import random
from collections.abc import Iterator


def order(rows: int, *, seed: int, epoch: int) -> list[int]:
    """Return the indices of all rows, shuffled."""
    indices = list(range(rows))
    random.Random(f"{seed}/{epoch}").shuffle(indices)
    return indices


def batches(rows: int, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the rows of each optimizer step; the last one may have fewer."""
    indices = order(rows, seed=seed, epoch=epoch)
    return [indices[start : start + batch_size] for start in range(0, rows, batch_size)]


class Sampler:
    """``order`` as a sampler; the training loop sets its epoch."""

    def __init__(self, rows: int, *, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        return iter(order(self._rows, seed=self._seed, epoch=self._epoch))
