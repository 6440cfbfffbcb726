"""How a base's rows are trained, judged for a quote by its `config.json`; the trainer proves it later.

``packed``: several rows share a micro-batch. ``alone``: each row is a micro-batch, with the model's own
attention. ``refused``: the trainer cannot train this base. ``unknown``: only the trainer can find out.
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
# Model types whose rows cannot share a micro-batch, with the reason.
ALONE: Mapping[str, str] = {
    "gemma2": "a soft cap on the scores",
    "gpt_oss": "attention sinks",
    "qwen3_5_text": "linear attention",
    "granitemoehybrid": "linear attention",
    "lfm2": "convolutions over tokens",
    "stablelm": "its attention does not get the borders of the rows",
}
REFUSED: Mapping[str, str] = {
    "llama4_text": "TRL's loss does not fit its class",
    "falcon_h1": "PEFT does not adapt all of its linear layers",
    "mamba": "PEFT does not adapt all of its linear layers",
}


def packing(config: Mapping[str, Any], longest: int) -> Packing:
    """Return how the model of a ``config.json`` trains rows of at most ``longest`` tokens."""
    kind = str(config.get("model_type"))
    if kind in REFUSED:
        return "refused"
    if kind in ALONE:
        return "alone"
    if kind not in PACKED:
        return "unknown"
    return "alone" if reason_in_config(config, longest) else "packed"


def reason_in_config(config: Mapping[str, Any], longest: int) -> str:
    """Return the option of the config that prevents packing; empty if none does."""
    if config.get("attention_dropout"):
        return "dropout in attention"
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    name = "original_max_position_embeddings"
    limit = rotary.get(name) or config.get(name)
    kind = rotary.get("rope_type") or rotary.get("type")
    if kind in {"longrope", "su"} and isinstance(limit, int) and limit < longest:
        return f"rows past {limit:,} tokens, where its rotary frequencies change"
    return ""


def reason_alone(config: Mapping[str, Any], longest: int) -> str:
    """Return why rows are trained one at a time; empty if they are packed, or if that is unknown."""
    if packing(config, longest) != "alone":
        return ""
    return ALONE.get(str(config.get("model_type"))) or reason_in_config(config, longest)
