"""The order of the rows: rows of like length share a batch, and the batches come in random order.

A function of seed, epoch and batch size alone: the same whatever the micro-batch, and after a resume.
"""

import random
from collections.abc import Iterator, Sequence

# Batches within which rows are sorted by length: enough to save padding, few enough to keep it random.
WINDOW = 32


def order(lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int) -> list[int]:
    """Return the indices of all rows; each run of ``batch_size`` of them is one optimizer step."""
    generator = random.Random(f"{seed}/{epoch}")
    indices = list(range(len(lengths)))
    generator.shuffle(indices)
    whole = len(indices) - len(indices) % batch_size
    batches = []
    window = WINDOW * batch_size
    for start in range(0, whole, window):
        near = sorted(indices[start : min(start + window, whole)], key=lambda i: lengths[i])
        batches += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    generator.shuffle(batches)
    return [index for batch in batches for index in batch] + indices[whole:]


class Sampler:
    """``order`` as a sampler; the training loop tells it the epoch."""

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(
            order(self._lengths, batch_size=self._batch_size, seed=self._seed, epoch=self._epoch)
        )
