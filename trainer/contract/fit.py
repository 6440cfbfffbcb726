"""How a run fits a card: precision, layers to recompute, tokens of a pass. Laptop and trainer ask the same.

bf16 is taken before NF4, because it trains what will be served; then as little recomputation as fits,
because each recomputed layer runs forward twice; then passes as long as there is room for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.contract.sizing import CONTEXT, Setting, memory

if TYPE_CHECKING:
    from trainer.contract.sizing import Architecture, Memory, Precision

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
) -> Fit:
    """The best way to train on a card of `card_bytes`; `longest` is the longest row's tokens.

    Where nothing fits, the smallest way is returned with `fits` false.
    """
    precisions: tuple[Precision, ...] = (precision,) if precision else ("bf16", "nf4")
    room = int(card_bytes * SHARE)
    least = max(longest, LEAST)
    for kind in precisions:
        for every in EVERY:
            tokens = _most_tokens(model, kind, rank, every, room, context)
            if tokens >= least:
                return _fit(
                    model, kind, rank, every, min(tokens, max(MOST, longest)), room, context
                )
    return _fit(model, precisions[-1], rank, 1, longest, room, context)


def recomputed(model: Architecture, every: int) -> int:
    """How many layers are recomputed."""
    return -(-model.layers // every) if every else 0


def _fit(
    model: Architecture,
    precision: Precision,
    rank: int,
    every: int,
    tokens: int,
    room: int,
    context: int,
) -> Fit:
    need = _need(model, precision, rank, every, tokens, context)
    return Fit(
        precision=precision, every=every, pass_tokens=tokens, need=need, fits=need.total <= room
    )


def _need(
    model: Architecture, precision: Precision, rank: int, every: int, tokens: int, context: int
) -> Memory:
    setting = Setting(
        precision=precision,
        rank=rank,
        tokens=tokens,
        recomputed=recomputed(model, every),
        upcast=False,
    )
    return memory(model, setting, context=context)


def _most_tokens(
    model: Architecture, precision: Precision, rank: int, every: int, room: int, context: int
) -> int:
    """The need grows linearly with the tokens, but for rounding."""
    empty = _need(model, precision, rank, every, 0, context).total
    thousand = _need(model, precision, rank, every, 1000, context).total - empty
    return max(0, (room - empty) * 1000 // thousand)
