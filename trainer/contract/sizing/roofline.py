"""The least time of a micro-batch on a card: bytes at its bandwidth, operations at its peak, kernel by kernel.

A kernel takes at least the time to move its bytes, and at least the time for its operations. Listed are those that
the trainer launches: transformers' layers under autocast, PEFT's LoRA, one flash attention, TRL's loss head; NF4
weights are written as bf16 before each product. Counts of bytes are per value, for the operators of torch, each of
which reads and writes its tensors. A test compares with the kernels of the traced step (docs/speed.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.contract.sizing.memory import BYTES, attention_flops

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trainer.contract.sizing.cards import Card
    from trainer.contract.sizing.memory import Architecture, Setting

# Bytes per value, forward and backward, of a norm (in fp32), the rotation of q and k, silu and its product.
NORM, ROTATION, SWIGLU = (36, 88), (20, 28), (10, 18)
RESIDUAL = 6
FORWARD, BACKWARD = 0, 1


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that runs ``times`` times."""

    bytes: float
    flops: float = 0.0
    times: float = 1.0


def rate(
    model: Architecture, setting: Setting, card: Card, *, context: float, scored: float
) -> float:
    """Return the tokens a second that training cannot exceed; see ``training``."""
    return setting.tokens / seconds(training(model, setting, context=context, scored=scored), card)


def seconds(kernels: Iterable[Kernel], card: Card) -> float:
    """Return the least time of ``kernels``."""
    return sum(
        kernel.times * max(kernel.bytes / card.bandwidth / 1e9, kernel.flops / card.peak / 1e12)
        for kernel in kernels
    )


def training(
    model: Architecture, setting: Setting, *, context: float, scored: float
) -> list[Kernel]:
    """Return the kernels of a micro-batch, forward and backward; recomputed layers run forward twice.

    `context` is the mean length of the rows a token sits in, `scored` the share of tokens that is trained.
    """
    ahead = _layer(model, setting, FORWARD, context, model.layers + setting.recomputed)
    back = _layer(model, setting, BACKWARD, context, model.layers)
    ends = Kernel(setting.tokens * model.hidden * sum(NORM))
    return [*ahead, *back, ends, *_head(model, setting.tokens * scored, 3)]


def evaluation(
    model: Architecture, setting: Setting, *, context: float, scored: float
) -> list[Kernel]:
    """Return the kernels of a forward pass alone."""
    ahead = _layer(model, setting, FORWARD, context, model.layers)
    ends = Kernel(setting.tokens * model.hidden * NORM[FORWARD])
    return [*ahead, ends, *_head(model, setting.tokens * scored, 1)]


def _head(model: Architecture, tokens: float, products: int) -> list[Kernel]:
    """The logits, again for the backward pass, and their gradient; each but the last is followed by a kernel."""
    product = _product(tokens, model.hidden, model.vocab, products)
    return [product, Kernel(tokens * model.vocab * (2 if products == 1 else 6))]


def _layer(
    model: Architecture, setting: Setting, way: int, context: float, times: float
) -> list[Kernel]:
    """The kernels of one layer in one direction, which run ``times`` times."""
    h, q, k = model.hidden, model.query, model.key
    tokens, active = setting.tokens, max(model.active, 1)
    maps = model.projections()
    found = [part for a, b in maps for part in _adapted(tokens, a, b, setting, way, times)]
    if model.experts:
        found.append(_experts(model, tokens, times))
    values = (
        NORM[way] * ((2 + model.norms) * h + model.normed)
        + ROTATION[way] * (q + k)
        + SWIGLU[way] * model.ffn * active
        + RESIDUAL * 2 * h
    )
    if way == BACKWARD:
        # Gradients of the inputs that q, k, v and gate, up share; copies around attention.
        values += 3 * 6 * h + 8 * q + 16 * k
    flops = tokens * attention_flops(model, context) / model.layers
    attention = Kernel(tokens * (4 * q + 4 * k) * (1 + way), flops * (2.5 if way else 1.0), times)
    return [*found, attention, Kernel(tokens * values, 0.0, times)]


def _adapted(
    tokens: float, a: int, b: int, setting: Setting, way: int, times: float
) -> list[Kernel]:
    """A frozen linear map from ``a`` to ``b`` values and its adapter: products, scaling, sums, casts."""
    r, nf4 = setting.rank, setting.precision == "nf4"
    found = [_product(tokens, a, b, times)]
    if nf4:
        found.append(Kernel(a * b * (BYTES["nf4"] + 2), 0.0, times))
    else:
        found.append(Kernel(6 * r * (a + b), 0.0, times))
    small = times * (1 + way)
    found += [_product(tokens, a, r, small), _product(tokens, r, b, small)]
    moved = (10 + 4 * nf4) * b if way == FORWARD else 4 * b + 6 * a
    return [*found, Kernel(tokens * moved, 0.0, times)]


def _experts(model: Architecture, tokens: float, times: float) -> Kernel:
    """Those of a layer, as one product: every expert's weights are read."""
    values = model.active * 3 * (model.hidden + model.ffn)
    weights = model.stacked / model.layers
    return Kernel(2 * (weights + tokens * values), 2 * tokens * model.active * model.expert, times)


def _product(rows: float, a: float, b: float, times: float) -> Kernel:
    """A product of ``rows`` x ``a`` with ``a`` x ``b`` values of 16 bits."""
    return Kernel(2 * (rows * a + a * b + rows * b), 2 * rows * a * b, times)
