"""How rows of a base are trained, as far as its `config.json` tells; what the trainer proves, for a quote.

``packed``: several rows share a micro-batch. ``alone``: each row has its own, with the model's own
attention. ``refused``: the trainer cannot train it. ``unknown``: the trainer's proof will tell.
"""

from collections.abc import Mapping
from typing import Any, Literal

Packing = Literal["packed", "alone", "refused", "unknown"]
PACKED = frozenset({
    *("llama", "mistral", "ministral", "ministral3", "mixtral", "qwen2", "qwen3", "qwen3_moe"),
    *("gemma", "gemma3", "gemma3_text", "gemma3n_text", "gemma4", "gemma4_text", "phi", "phi3", "smollm3", "granite"),
    *("olmo2", "olmo3", "olmoe", "glm4", "deepseek_v3", "cohere2", "exaone4", "starcoder2", "seed_oss"),
    *("arcee", "apertus", "ernie4_5"),
})  # fmt: skip
# Why rows of these cannot share a micro-batch.
ALONE: Mapping[str, str] = {
    "gemma2": "a soft cap on the scores",
    "gpt_oss": "attention sinks",
    "qwen3_5_text": "linear attention",
    "granitemoehybrid": "linear attention",
    "lfm2": "convolutions over tokens",
    "stablelm": "its attention is not told the rows' borders",
}
REFUSED: Mapping[str, str] = {
    "llama4_text": "TRL's loss does not fit its class",
    "falcon_h1": "PEFT does not adapt all of its linear layers",
    "mamba": "PEFT does not adapt all of its linear layers",
}


def packing(config: Mapping[str, Any], longest: int) -> Packing:
    """Return how rows of at most ``longest`` tokens are trained on the model of a ``config.json``."""
    kind = str(config.get("model_type"))
    if kind in REFUSED:
        return "refused"
    if kind in ALONE:
        return "alone"
    if kind not in PACKED:
        return "unknown"
    return "alone" if reason_in_config(config, longest) else "packed"


def reason_in_config(config: Mapping[str, Any], longest: int) -> str:
    """Return what in the config itself keeps rows apart, whatever the family; empty where nothing does."""
    if config.get("attention_dropout"):
        return "dropout in attention"
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    limit = rotary.get("original_max_position_embeddings") or config.get(
        "original_max_position_embeddings"
    )
    kind = rotary.get("rope_type") or rotary.get("type")
    if kind in {"longrope", "su"} and isinstance(limit, int) and limit < longest:
        return f"rows past {limit:,} tokens, where its rotary frequencies change"
    return ""


def reason_alone(config: Mapping[str, Any], longest: int) -> str:
    """Return why rows are trained one at a time, empty where they are packed or it is unknown."""
    if packing(config, longest) != "alone":
        return ""
    return ALONE.get(str(config.get("model_type"))) or reason_in_config(config, longest)
