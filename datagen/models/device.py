"""The device that weights on this machine run on, and every choice that depends on it.

No other module of datagen reads from torch which device there is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Device:
    """`place` is where torch puts tensors, `dtype` the weights' type by its name in torch.

    `prefill_tokens`: what one forward pass reads of prompts at most, unless a single one is longer. While
    it lasts, no progress can be shown, nor the evaluation be ended.
    """

    place: str
    dtype: str
    prefill_tokens: int


CPU = Device(place="cpu", dtype="float32", prefill_tokens=4096)
CARD = Device(place="cuda", dtype="bfloat16", prefill_tokens=65536)


def find_device() -> Device:
    """The card if torch sees one, else the CPU; the CPU too where torch is not installed."""
    try:
        import torch
    except ImportError:
        return CPU
    return CARD if torch.cuda.is_available() else CPU


def free_memory() -> None:
    """Give memory that torch keeps for later back to the card."""
    import torch

    torch.cuda.empty_cache()
