"""A card without one: every choice that the trainer makes on an A10G, with tensors on the CPU.

The choices depend on ``trainer.device.here``. Flash attention, which has no CPU kernel, is the plain
reference; like the kernel it takes 16 bits alone.
"""

from typing import Any

import pytest
import torch

from tests.trainer.attention.varlen import varlen_attn
from trainer import device

A10G = device.Device("cuda", "NVIDIA A10G", 24 * 10**9, flash=True, place="cpu")


def use_card(patch: pytest.MonkeyPatch) -> None:
    """Let this process train as on an A10G."""
    patch.setattr(device, "here", lambda: A10G)
    patch.setattr("torch.nn.attention.varlen.varlen_attn", _kernel)


def _kernel(query: Any, *others: Any, **keywords: Any) -> Any:
    assert query.dtype == torch.bfloat16
    return varlen_attn(query, *others, **keywords)


class Watched:
    """What a loop's forward passes ran with, from the self-test to the last step's evaluation.

    ``autocast``: whether autocast was on. ``casts``: whether PEFT casts an adapter's input. ``adapter`` and
    ``base``: the dtypes of LoRA's matrices and of the base's weights. ``rates``: the optimizer's learning rates.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from trainer.loop.loop import Loop

        self.autocast: set[bool] = set()
        self.casts: set[bool] = set()
        self.adapter: set[Any] = set()
        self.base: set[Any] = set()
        self.attention: set[str] = set()
        self.rates: set[float] = set()
        plain = Loop.run

        def run(loop: Any, checkpoint: Any) -> None:
            first = next(m for m in loop.model.modules() if hasattr(m, "lora_A"))
            hook = first.register_forward_pre_hook(lambda *_: self._forward(loop, first))
            try:
                plain(loop, checkpoint)
            finally:
                hook.remove()
            groups = loop.optimizer.param_groups if loop.optimizer else ()
            self.rates |= {group["initial_lr"] for group in groups if group["params"]}

        patch.setattr(Loop, "run", run)

    def _forward(self, loop: Any, layer: Any) -> None:
        self.autocast.add(torch.is_autocast_enabled("cpu"))
        self.casts.add(layer.cast_input_dtype_enabled)
        self.attention.add(loop.model.config._attn_implementation)
        for name, weight in loop.model.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                self.adapter.add(weight.dtype)
            elif ".lora_" not in name:  # PEFT also freezes the adapter while it is off
                self.base.add(weight.dtype)
