"""The attention of a base model: its name, its window, and a context that changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from trainer.attention.kernels import ROWS, VARLEN, WIDEST


def attention_of(model: Any) -> str:
    """Return the name of the attention that a (PEFT) model runs with."""
    return str(model.config.get_text_config()._attn_implementation)  # noqa: SLF001 - transformers has no other


@contextmanager
def own_attention(model: Any, name: str) -> Iterator[None]:
    """Within the context, let a (PEFT) model run with transformers' attention ``name``."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = attention_of(base)
    base.set_attn_implementation(name)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


def kernel(config: Any, *, flash: bool) -> str:
    """Return the name of the packed attention for a model: flash, unless its heads are too wide."""
    text = config.get_text_config()
    widths = [number(text, name) for name in ("head_dim", "global_head_dim")]
    # A model without attention (Mamba) has no heads.
    widest = max(widths) or number(text, "hidden_size") // (
        number(text, "num_attention_heads") or 1
    )
    return VARLEN if flash and widest <= WIDEST else ROWS


def number(config: Any, name: str) -> int:
    """Return an integer of a config, 0 if it has none."""
    # Gemma 4 has two head sizes, and its config then raises for the attribute.
    plain = getattr(config, "_getattr_without_heterogeneous_validation", partial(getattr, config))
    value = plain(name, None)
    return value if isinstance(value, int) else 0


def window_of(config: Any) -> int:
    """Return the tokens of the windows of a model's layers, 0 without windows."""
    return int(getattr(config.get_text_config(), "sliding_window", None) or 0)
