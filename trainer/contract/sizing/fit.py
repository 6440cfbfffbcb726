"""How a run fits a card: precision, layers to recompute, tokens of a micro-batch. Launcher and trainer use it.

bf16 is preferred to NF4, because the served model is bf16; then as little recomputation as fits, because
each recomputed layer runs forward twice; then micro-batches as long as memory allows.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trainer.contract.sizing.memory import CONTEXT, Setting, memory

if TYPE_CHECKING:
    from trainer.contract.sizing.memory import Architecture, Memory, Precision

LEAST = 4_096  # tokens of a micro-batch: fewer leave matrix products too small for the card
MOST = 16_384  # more tokens of a micro-batch do not raise the speed
EVERY = (0, 2, 1)  # recompute no layer, every second one, all
SHARE = 0.95  # of the card's memory that a plan may use


@dataclass(frozen=True, kw_only=True)
class Fit:
    """`every`: each so-many-th layer is recomputed, 0: none; `need`: the predicted peak; `fits` may be false."""

    precision: Precision
    every: int
    pass_tokens: int
    need: Memory
    fits: bool


def fit(
    model: Architecture,
    *,
    card_bytes: int,
    rank: int,
    longest: int,
    precision: Precision | None = None,
    context: int = CONTEXT,
    shards: int = 1,
) -> Fit:
    """Return the best plan for a card of `card_bytes`; `longest`: tokens of the longest row.

    `shards` such cards divide the weights, which are bf16 unless `precision` is given. If nothing fits, the
    plan with the least memory is returned with `fits` false.
    """
    both: tuple[Precision, ...] = ("bf16",) if shards > 1 else ("bf16", "nf4")
    precisions = (precision,) if precision else both
    room = int(card_bytes * SHARE)
    least = max(longest, LEAST)

    def setting_of(kind: Precision, every: int) -> Setting:
        layers = recomputed(model, every)
        return Setting(
            precision=kind, rank=rank, tokens=0, recomputed=layers, upcast=False, shards=shards
        )

    for kind in precisions:
        for every in EVERY:
            setting = setting_of(kind, every)
            tokens = _most_tokens(model, setting, room, context, max(MOST, longest))
            if tokens >= least:
                return _fit(model, setting, every, tokens, room, context)
    return _fit(model, setting_of(precisions[-1], 1), 1, longest, room, context)


def recomputed(model: Architecture, every: int) -> int:
    """Return the number of recomputed layers."""
    return -(-model.layers // every) if every else 0


def _fit(
    model: Architecture, setting: Setting, every: int, tokens: int, room: int, context: int
) -> Fit:
    need = _need(model, setting, tokens, context)
    fits = need.total <= room
    return Fit(precision=setting.precision, every=every, pass_tokens=tokens, need=need, fits=fits)


def _need(model: Architecture, setting: Setting, tokens: int, context: int) -> Memory:
    return memory(model, replace(setting, tokens=tokens), context=context)


def _most_tokens(model: Architecture, setting: Setting, room: int, context: int, most: int) -> int:
    """Return the tokens that fit in ``room``, at most ``most``."""
    return bisect_right(
        range(1, most + 1), room, key=lambda tokens: _need(model, setting, tokens, context).total
    )
