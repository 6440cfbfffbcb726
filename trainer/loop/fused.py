"""Fused kernels for norms, rotation, SwiGLU and GeGLU: Liger's, written in Triton, within training steps only.

Liger replaces functions and classes of the model's module in transformers, and methods of the model's parts. All
replacements are recorded, and hold within a context only. Outside of it the model computes as before, and a base
that is loaded later is an unchanged one.
"""

import logging
import sys
from types import TracebackType
from typing import Any

_MISSING = object()
# The loss stays TRL's: it computes log-probabilities in tiles, which also needs no logits in memory.
_CONFIG = {"cross_entropy": False, "fused_linear_cross_entropy": False}


class Fused:
    """A context in which a (PEFT) model computes with Liger's kernels; it can be entered again."""

    def __init__(self, model: Any) -> None:
        """Raises ``ImportError`` without Liger, and ``LookupError`` for a model that it cannot change."""
        from torch.distributed.fsdp import FSDPModule
        from transformers.integrations import liger

        if not liger.is_liger_kernel_available():
            raise ImportError("liger-kernel is not installed")
        if isinstance(model, FSDPModule):
            # An error in one process only would leave the others waiting in a forward pass.
            raise LookupError("not tried on a base that is divided between cards")  # noqa: TRY004
        # It warns of each of its optional backends that is not installed.
        logging.getLogger("liger_kernel").setLevel(logging.ERROR)
        places: list[Any] = [
            *(vars(sys.modules[name]) for name in list(sys.modules) if _has_models(name)),
            *map(vars, model.modules()),
        ]
        before = [dict(place) for place in places]
        try:
            liger.apply_liger_kernel(model, _CONFIG)
        finally:
            self._changes = [
                (place, name, old.get(name, _MISSING), new)
                for place, old in zip(places, before, strict=True)
                for name, new in place.items()
                if old.get(name, _MISSING) is not new
            ]
            self.__exit__(None, None, None)
        if not self._changes:
            kind = getattr(model.config, "model_type", type(model).__name__)
            raise LookupError(f"Liger has no kernels for a base of the type {kind!r}")

    def __enter__(self) -> None:
        for place, name, _, new in self._changes:
            place[name] = new

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for place, name, old, _ in self._changes:
            if old is _MISSING:
                del place[name]
            else:
                place[name] = old


def _has_models(module: str) -> bool:
    return module.startswith("transformers.models.") and ".modeling_" in module
