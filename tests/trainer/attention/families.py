"""Real published configs of the families people train, and small models of them with a ChatML tokenizer."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from trainer.attention import small_model

SLIDING, FULL = "sliding_attention", "full_attention"
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "partial_rotary_factor": 0.75,
    "original_max_position_embeddings": 4096, "short_factor": [1.0] * 48,
    "long_factor": [1 + i / 2 for i in range(48)],
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "high_freq_factor": 4.0,
    "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama 3.2 3B": ("llama", {
        "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 24,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192, "vocab_size": 128256,
        "tie_word_embeddings": True, "rope_parameters": LLAMA3,
    }),
    "Qwen2.5 3B": ("qwen2", {
        "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "intermediate_size": 11008, "vocab_size": 151936,
        "tie_word_embeddings": True, "use_sliding_window": False,
    }),
    "Qwen2.5 7B": ("qwen2", {
        "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064,
    }),
    "Qwen3 4B": ("qwen3", {
        "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
        "tie_word_embeddings": True,
    }),
    "Qwen3 30B-A3B": ("qwen3_moe", {
        "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32,
        "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
        "vocab_size": 151936, "norm_topk_prob": True,
    }),
    "Qwen3.5 4B": ("qwen3_5_text", {
        "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 16,
        "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216, "vocab_size": 248320,
        "tie_word_embeddings": True,
    }),
    "Mistral 7B v0.1": ("mistral", {"sliding_window": 4096}),
    "Mistral 7B v0.3": ("mistral", {"sliding_window": None, "vocab_size": 32768}),
    "Ministral 8B": ("ministral", {
        "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 131072,
        "sliding_window": 32768, "layer_types": [FULL, SLIDING, SLIDING, SLIDING] * 9,
    }),
    "Ministral 3 (text)": ("ministral3", {}),
    "Mixtral 8x7B": ("mixtral", {"num_local_experts": 8}),
    "Gemma 7B": ("gemma", {
        "hidden_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 16, "head_dim": 256, "intermediate_size": 24576,
        "vocab_size": 256000,
    }),
    "Gemma 2 2B": ("gemma2", {
        "hidden_size": 2304, "num_hidden_layers": 26, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216,
        "vocab_size": 256000,
    }),
    "Gemma 3 1B": ("gemma3_text", {
        "hidden_size": 1152, "num_hidden_layers": 26, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 6912, "sliding_window": 512,
        "vocab_size": 262144,
    }),
    "Gemma 3 4B": ("gemma3", {
        "text_config": {
            "hidden_size": 2560, "num_hidden_layers": 34, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 10240,
            "sliding_window": 1024, "vocab_size": 262208,
        },
    }),
    "Gemma 3n (text)": ("gemma3n_text", {}),
    "Gemma 4 (text)": ("gemma4_text", {}),
    "Gemma 4": ("gemma4", {}),
    "Phi-3 mini 4k": ("phi3", {
        "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 8192, "vocab_size": 32064,
        "sliding_window": 2047, "max_position_embeddings": 4096,
    }),
    "Phi-4 mini": ("phi3", {
        "hidden_size": 3072, "num_hidden_layers": 32, "num_attention_heads": 24,
        "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 200064,
        "tie_word_embeddings": True, "sliding_window": 262144, "pad_token_id": 199999,
        "bos_token_id": 199999, "eos_token_id": 199999, "rope_parameters": LONGROPE,
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
    }),
    "SmolLM3 3B": ("smollm3", {
        "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 4, "intermediate_size": 11008, "vocab_size": 128256,
        "tie_word_embeddings": True,
    }),
    "Granite 3.3 2B": ("granite", {
        "hidden_size": 2048, "num_hidden_layers": 40, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 49159,
        "tie_word_embeddings": True, "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
    }),
    "Granite 4 hybrid": ("granitemoehybrid", {
        "num_hidden_layers": 40, "num_attention_heads": 32, "hidden_size": 2048,
        "layer_types": ["full_attention" if i % 10 == 5 else "mamba" for i in range(40)],
    }),
    "OLMo 2 7B": ("olmo2", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 100352,
    }),
    "OLMo 3 7B": ("olmo3", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 100278,
        "sliding_window": 4096,
    }),
    "OLMoE 1B-7B": ("olmoe", {}),
    "gpt-oss 20B": ("gpt_oss", {"num_hidden_layers": 24, "num_local_experts": 32}),
    "GLM-4 9B": ("glm4", {}),
    "DeepSeek-V3": ("deepseek_v3", {}),
    "Command R7B": ("cohere2", {}),
    "EXAONE 4": ("exaone4", {}),
    "StarCoder2": ("starcoder2", {}),
    "LFM2 1.2B": ("lfm2", {
        "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 12288, "vocab_size": 65536,
        "layer_types": [FULL if i in {2, 5, 8, 10, 12, 14} else "conv" for i in range(16)],
    }),
    "Llama 4": ("llama4_text", {}),
    "Falcon H1": ("falcon_h1", {}),
    "Mamba": ("mamba", {}),
    "StableLM": ("stablelm", {}),
    "Phi-2": ("phi", {}),
    "Seed-OSS 36B": ("seed_oss", {}),
    "Arcee AFM": ("arcee", {}),
    "Apertus": ("apertus", {}),
    "ERNIE 4.5": ("ernie4_5", {}),
}  # fmt: skip


def config_of(family: str) -> Any:
    from transformers import AutoConfig

    kind, values = PUBLISHED[family]
    return AutoConfig.for_model(kind, **deepcopy(values))


def save_small(family: str, folder: Path, tokenizer: Any, longest: int = 16_384) -> None:
    """A small model of the family in ``folder``, whose windows are shorter than rows of 61 tokens."""
    config = small_model.shrink(config_of(family), longest)
    text = config.get_text_config()
    for name in ("vocab_size", "vocab_size_per_layer_input"):
        if getattr(text, name, None):
            setattr(text, name, len(tokenizer))
    text.eos_token_id, text.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    small_model.build(config, "eager").save_pretrained(folder)
    tokenizer.save_pretrained(folder)


# Whole runs take 3 seconds each; these differ in what can go wrong.
THROUGH_TRAINING = [
    "Llama 3.2 3B", "Qwen3 30B-A3B", "Qwen3.5 4B", "Mistral 7B v0.1", "Gemma 2 2B", "Gemma 3 4B",
    "Gemma 4 (text)", "Phi-4 mini", "Granite 3.3 2B", "gpt-oss 20B",
]  # fmt: skip
# Many layers until every kind has come, or slow reference code: proven by `python -m tests.models --prove`.
SLOW = {
    *(
        "Gemma 3n (text)",
        "Gemma 4",
        "Gemma 4 (text)",
        "Granite 4 hybrid",
        "Falcon H1",
        "Qwen3.5 4B",
    ),
    *("DeepSeek-V3", "OLMo 3 7B", "EXAONE 4", "Command R7B", "Seed-OSS 36B", "Gemma 3 4B"),
}


def prove(family: str, longest: int) -> None:
    """Hold the table of the contract against the proof."""
    from trainer.attention.choice import choose
    from trainer.attention.kernels import packs
    from trainer.contract.command.errors import ModelUnavailable
    from trainer.contract.options import Lora
    from trainer.contract.sizing.base_models import packing

    config = config_of(family)
    try:
        proven = "packed" if packs(choose(config, Lora(), longest=longest).attention) else "alone"
    except ModelUnavailable:
        proven = "refused"
    assert packing(config.to_dict(), longest) == proven, family
