"""How a run fits the free memory of a machine without a card: layers to recompute, tokens of a micro-batch.

Long micro-batches are not faster on a CPU, so they stop at `MOST`. glibc's heap keeps holes between
tensors, so that a process takes more memory than its live tensors.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from trainer.contract.sizing.fit import SHARE, Fit, recomputed
from trainer.contract.sizing.memory import TILE, Setting, memory

if TYPE_CHECKING:
    from trainer.contract.sizing.memory import Architecture, Memory, Precision

# Tokens of a micro-batch: on one core, more do not make models of 15M and 135M faster (docs/training.md).
MOST = 2_048
# A process's memory divided by that of its live activations: 1.8 to 2.9 were measured in fp32.
HELD = 3.0


def fit_cpu(
    model: Architecture, *, free_bytes: int, rank: int, longest: int, precision: Precision
) -> Fit:
    """Return the fastest plan for `free_bytes`; `longest`: tokens of the longest row.

    Layers are recomputed only if the longest row does not fit otherwise; `fits` is false if it then still
    does not.
    """
    room = int(free_bytes * SHARE)
    every, tokens = 0, 0
    for every in (0, 1):

        def total(many: int, every: int = every) -> int:
            return need(model, precision, rank, every, many).total

        tokens = bisect_right(range(1, max(MOST, longest) + 1), room, key=total)
        if tokens >= longest:
            break
    tokens = max(tokens, 1)
    found = need(model, precision, rank, every, max(tokens, longest))
    fits = found.total <= room
    return Fit(precision=precision, every=every, pass_tokens=tokens, need=found, fits=fits)


def need(
    model: Architecture,
    precision: Precision,
    rank: int,
    every: int,
    tokens: int,
    held: float = HELD,
) -> Memory:
    """Return the memory of a training step; with ``held`` 1, of its live tensors only."""
    layers = recomputed(model, every)
    setting = Setting(
        precision=precision, rank=rank, tokens=tokens, recomputed=layers, upcast=False
    )
    found = memory(model, setting, context=0)
    if precision == "nf4":
        # A CPU multiplies quantised weights in fp32, and keeps all other weights in fp32.
        alive = memory(model, replace(setting, precision="fp32"), context=0).activations
        weights = found.weights + 2 * model.other
        buffers = 4 * max(a * b for a, b in model.projections())
        found = replace(found, weights=weights, activations=alive, buffers=buffers)
    # The loss head's tile of logits is in fp32.
    return replace(found, activations=int(found.activations * held), head=found.head + TILE)
