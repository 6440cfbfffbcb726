"""How a run fits the free memory of a machine without a card: layers to recompute, tokens of a micro-batch.

A CPU gains nothing from long micro-batches, so they stop at `MOST`. Its memory is the process's: glibc's
heap keeps holes between the blocks of tensors, so that a process takes more than is alive in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trainer.contract.sizing.fit import SHARE, Fit, recomputed
from trainer.contract.sizing.memory import TILE, Setting, memory

if TYPE_CHECKING:
    from trainer.contract.sizing.memory import Architecture, Memory, Precision

# Tokens of a micro-batch: on one core, models of 15M and 135M are no faster with more (docs/training.md).
MOST = 2_048
# What a process takes of what is alive in its activations: 1.8 to 2.9 were measured in fp32.
HELD = 3.0


def fit_cpu(
    model: Architecture, *, free_bytes: int, rank: int, longest: int, precision: Precision
) -> Fit:
    """The fastest way to train with `free_bytes` left; `longest` is the longest row's tokens.

    No layer is recomputed where the longest row fits without. `fits` is false where it does not fit with
    every layer recomputed.
    """
    room = int(free_bytes * SHARE)
    every, tokens = 0, 0
    for every in (0, 1):
        empty, full = (need(model, precision, rank, every, many).total for many in (0, 1_000))
        tokens = max(0, (room - empty) * 1_000 // (full - empty))
        if tokens >= longest:
            break
    tokens = min(max(tokens, 1), max(MOST, longest))
    found = need(model, precision, rank, every, max(tokens, longest))
    return Fit(
        precision=precision,
        every=every,
        pass_tokens=tokens,
        need=found,
        fits=found.total <= room,
    )


def need(
    model: Architecture,
    precision: Precision,
    rank: int,
    every: int,
    tokens: int,
    held: float = HELD,
) -> Memory:
    """What a training step takes of the machine's memory; with ``held`` 1 what is alive at least."""
    setting = Setting(
        precision=precision,
        rank=rank,
        tokens=tokens,
        recomputed=recomputed(model, every),
        upcast=False,
    )
    found = memory(model, setting, context=0)
    if precision == "nf4":
        # Quantised weights are multiplied in fp32 on a CPU, and nothing else of the base is smaller.
        alive = memory(model, replace(setting, precision="fp32"), context=0).activations
        found = replace(
            found,
            weights=found.weights + 2 * model.other,
            activations=alive,
            buffers=2 * found.buffers,
        )
    # The loss head's tile of logits is in fp32.
    return replace(found, activations=int(found.activations * held), head=found.head + TILE)
