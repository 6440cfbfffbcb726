"""How a run fits a card: precision, layers to recompute, tokens of a pass. Laptop and trainer ask the same.

bf16 is taken before NF4, because it trains what will be served; then as little recomputation as fits,
because each recomputed layer runs forward twice; then passes as long as there is room for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trainer.contract.sizing.memory import CONTEXT, Setting, memory

if TYPE_CHECKING:
    from trainer.contract.sizing.memory import Architecture, Memory, Precision

LEAST = 4_096  # tokens of a pass: fewer leave matrix products too small for the card
MOST = 16_384  # more tokens a pass no longer raise its speed
EVERY = (0, 2, 1)  # recompute no layer, every second, all
SHARE = 0.95  # of the card's memory that may be planned for


@dataclass(frozen=True, kw_only=True)
class Fit:
    """`every` recomputes each so-many-th layer, 0 none; `need` is the predicted peak; `fits` may be false."""

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
    """The best way to train on a card of `card_bytes`; `longest` is the longest row's tokens.

    `shards` such cards divide the weights between them, which are in bf16 where `precision` does not say.
    Where nothing fits, the smallest way is returned with `fits` false.
    """
    both: tuple[Precision, ...] = ("bf16",) if shards > 1 else ("bf16", "nf4")
    precisions = (precision,) if precision else both
    room = int(card_bytes * SHARE)
    least = max(longest, LEAST)

    def way(kind: Precision, every: int) -> Setting:
        layers = recomputed(model, every)
        return Setting(
            precision=kind, rank=rank, tokens=0, recomputed=layers, upcast=False, shards=shards
        )

    for kind in precisions:
        for every in EVERY:
            setting = way(kind, every)
            tokens = _most_tokens(model, setting, room, context)
            if tokens >= least:
                tokens = min(tokens, max(MOST, longest))
                return _fit(model, setting, every, tokens, room, context)
    return _fit(model, way(precisions[-1], 1), 1, longest, room, context)


def recomputed(model: Architecture, every: int) -> int:
    """How many layers are recomputed."""
    return -(-model.layers // every) if every else 0


def _fit(
    model: Architecture, setting: Setting, every: int, tokens: int, room: int, context: int
) -> Fit:
    need = _need(model, setting, tokens, context)
    return Fit(
        precision=setting.precision,
        every=every,
        pass_tokens=tokens,
        need=need,
        fits=need.total <= room,
    )


def _need(model: Architecture, setting: Setting, tokens: int, context: int) -> Memory:
    return memory(model, replace(setting, tokens=tokens), context=context)


def _most_tokens(model: Architecture, setting: Setting, room: int, context: int) -> int:
    """The need grows linearly with the tokens, but for rounding."""
    empty = _need(model, setting, 0, context).total
    thousand = _need(model, setting, 1000, context).total - empty
    return max(0, (room - empty) * 1000 // thousand)
