"""Reads a model's shape, for sizing, from its `config.json`; None for an unknown family.

Tests compare with transformers' count of the same model on the meta device, and PEFT's of its adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.contract.sizing.memory import Architecture


@dataclass(frozen=True, slots=True)
class _Family:
    """What a family's class sets, not its config. ``norms``: hidden-size norms in a layer, besides two.

    ``head_norms``: a norm of a head's width for q and k. ``wide_norms``: one of the whole width of q and of k.
    ``experts``: the config's name for their width.
    """

    tied: bool = False
    head_dim: int | None = None
    norms: int = 0
    head_norms: bool = False
    wide_norms: bool = False
    qkv_bias: bool = False
    fused: bool = False
    experts: str = ""


_PLAIN = _Family()
FAMILIES: Mapping[str, _Family] = {
    "llama": _PLAIN,
    "mistral": _PLAIN,
    "ministral": _PLAIN,
    "ministral3": _PLAIN,
    "granite": _PLAIN,
    "smollm3": _Family(tied=True),
    "qwen2": _Family(qkv_bias=True),
    "qwen3": _Family(head_dim=128, head_norms=True),
    "qwen3_moe": _Family(head_norms=True, experts="moe_intermediate_size"),
    "mixtral": _Family(experts="intermediate_size"),
    "gemma": _Family(tied=True, head_dim=256),
    "gemma2": _Family(tied=True, head_dim=256, norms=2),
    "gemma3_text": _Family(tied=True, head_dim=256, norms=2, head_norms=True),
    "phi3": _Family(fused=True),
    "olmo2": _Family(wide_norms=True),
    "olmo3": _Family(wide_norms=True),
}


def from_config(config: Mapping[str, Any]) -> Architecture | None:
    """Return the shape of ``config``; None for another family, or one with images."""
    family = FAMILIES.get(str(config.get("model_type")))
    mixed = config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1
    if family is None or mixed:
        return None
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or family.head_dim or hidden // heads)
    ffn = int(config[family.experts or "intermediate_size"])
    experts = 0
    if family.experts:
        # The hub uses one name, transformers writes the other.
        experts = int(config.get("num_experts") or config["num_local_experts"])
    biased = bool(config.get("attention_bias"))
    extra = (
        family.norms * hidden
        + 2 * head_dim * family.head_norms
        + (heads + kv_heads) * head_dim * family.wide_norms
        + hidden * biased
        + (2 * ffn + hidden) * bool(config.get("mlp_bias"))
    )
    return Architecture(
        hidden=hidden,
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        ffn=ffn,
        vocab=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        qkv_bias=family.qkv_bias or biased,
        extra=extra,
        norms=family.norms,
        normed=(family.head_norms or family.wide_norms) * (heads + kv_heads) * head_dim,
        fused=family.fused,
        experts=experts,
        active=int(config["num_experts_per_tok"]) if experts else 0,
    )
