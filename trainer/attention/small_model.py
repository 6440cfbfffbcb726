"""A small random model of a base's class and config, for tests that would be expensive on the base.

It keeps what decides how a model computes: class, kinds of layers, caps, sinks, experts, rotary kind and head
size. It cuts what only makes it large: heads, widths, experts, vocabulary, and layers after each kind has
occurred. A limit in tokens (a window, a chunk) that the rows exceed becomes ``LIMIT``, which rows of 61
tokens exceed; a limit that they do not exceed stays above the small rows' length.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from trainer.attention.of_model import number

LIMIT = 24
LENGTHS = (61, LIMIT, LIMIT + 1, 5, 40)
VOCABULARY = 256
STEPS = (2, 3, 4, 6, 8, 12, 16, 20, 24, 32)
WIDTH, HIDDEN = 96, 256
# As transformers' configs name them.
LIMITS = ("sliding_window", "attention_chunk_size", "floor_scale")
MOVING_ROTARY = ("longrope", "dynamic")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "top_k_experts", "moe_topk", "moe_k")
GROUPS = ("n_group", "topk_group")
WIDTHS = ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "intermediate_size_mlp")
VOCABULARIES = ("vocab_size", "vocab_size_per_layer_input")
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")


def rows(seed: int = 0) -> list[Any]:
    """Return random rows for the small model: longer than ``LIMIT``, equal, one token longer, and shorter."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    return [torch.randint(len(TOKENS), VOCABULARY, (n,), generator=drawn) for n in LENGTHS]


def build(config: Any, attention: str, seed: int = 0) -> Any:
    """Build the model of a small ``config`` on the CPU in fp32, with weights that make attention matter."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(
        deepcopy(config), attn_implementation=attention, dtype=torch.float32
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # With initial weights scores are so flat that one token of a window hardly matters.
            if weight.dim() > 1 and "conv" not in name:
                weight.normal_(0, 1.5 * weight.shape[-1] ** -0.5)
        for module in model.modules():
            _moderate(module)
    return model.eval()


def _moderate(module: Any) -> None:
    """Scale scores to a spread of 1 in a class whose learned norms of q and k set the scale (Gemma 3n).

    With norms of 1 the spread is 16: softmax selects one token, and rounding decides which.
    """
    if getattr(module, "scaling", None) == 1.0:
        for name in ("q_norm", "k_norm"):
            if (weight := getattr(getattr(module, name, None), "weight", None)) is not None:
                weight.fill_(weight.shape[-1] ** -0.25)


def shrink(config: Any, longest: int, *, narrow: bool = True) -> Any:
    """Return a small copy of ``config`` for training on rows of at most ``longest`` tokens.

    Without ``narrow``, heads and widths stay: some classes compute one width from another.
    """
    small = deepcopy(config)
    # The small weights are random, so the base's quantization does not apply.
    small.__dict__.pop("quantization_config", None)
    layers = _layers(config)
    text = small.get_text_config()
    for part in list(_parts(small)):
        _cut_layers(part, layers if part is text else STEPS[0])
        _cut_counts(part)
        if narrow:
            _cut_widths(part)
        _cut_limits(part, longest)
    for part in {id(p): p for p in (small, text)}.values():
        for token, name in enumerate(TOKENS):
            if getattr(part, name, None) is not None:
                setattr(part, name, token)
    return small


def _parts(config: Any) -> Iterator[Any]:
    yield config
    for name in config.sub_configs:
        if (part := getattr(config, name, None)) is not None:
            yield from _parts(part)


def _layers(config: Any) -> int:
    """Return how many layers a small model needs to have every kind of layer of the base."""
    count = int(config.get_text_config().num_hidden_layers)
    kinds = _kinds(config)
    for layers in STEPS:
        if layers < count:
            fewer = deepcopy(config)
            _cut_layers(fewer.get_text_config(), layers)
            if kinds <= _kinds(fewer):
                return layers
    return count


def _kinds(config: Any) -> set[tuple[Any, ...]]:
    import torch
    from transformers import AutoModelForCausalLM

    count = config.get_text_config().num_hidden_layers
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    return {_kind(layer) for stack in stacks for layer in stack}


def _kind(layer: Any) -> tuple[Any, ...]:
    """Return a layer's modules and their settings, without its number."""
    plain = (bool, int, float, str, type(None))
    return tuple(
        (name, type(module).__name__, key, value)
        for name, module in layer.named_modules()
        for key, value in sorted(vars(module).items())
        if isinstance(value, plain) and not key.startswith("_") and key != "training"
        if "idx" not in key and "index" not in key  # the layer's number
    )


def _cut_layers(part: Any, layers: int) -> None:
    count = getattr(part, "num_hidden_layers", None)
    if not isinstance(count, int) or count <= layers:
        return
    for name, value in vars(part).items():
        if isinstance(value, list) and len(value) == count:
            setattr(part, name, value[:layers])
    shared = getattr(part, "num_kv_shared_layers", None)
    if shared:
        part.num_kv_shared_layers = max(0, layers - (count - shared))
    if spec := getattr(part, "_heterogeneity_spec", None):
        for index in [index for index in spec.per_layer_overrides if index >= layers]:
            del spec.per_layer_overrides[index]
    part.num_hidden_layers = layers


def _cut_counts(part: Any) -> None:
    """Cut experts, vocabulary, and the widths of a layer's feed-forward part."""

    def cut(names: tuple[str, ...], most: int) -> None:
        for name in names:
            if isinstance(value := getattr(part, name, None), int):
                setattr(part, name, min(value, most))
            elif isinstance(value, list):
                setattr(part, name, [min(each, most) for each in value])

    cut(tuple(n for n in vars(part) if n.endswith(WIDTHS)), WIDTH)
    cut(EXPERTS, 4)
    cut(CHOSEN, 2)
    cut(GROUPS, 1)
    cut(VOCABULARIES, VOCABULARY)


def _cut_widths(part: Any) -> None:
    """Cut heads and the hidden size; heads that share keys still do, and a head keeps its width."""
    heads, hidden, size = (
        number(part, n) for n in ("num_attention_heads", "hidden_size", "head_dim")
    )
    if not heads or not hidden:
        return
    shared = number(part, "num_key_value_heads") or heads
    fewer = min(shared, 2) * min(heads // shared, 2)
    if size:
        part.hidden_size = min(hidden, HIDDEN)
    elif hidden % heads == heads % shared == 0:
        part.hidden_size = hidden // heads * fewer
    else:
        return
    keys, values = (number(part, f"linear_num_{n}_heads") for n in ("key", "value"))
    if keys and values % keys == 0:
        part.linear_num_key_heads = min(keys, 2)
        part.linear_num_value_heads = values // keys * min(keys, 2)
    expand, width = (number(part, n) for n in ("mamba_expand", "mamba_d_head"))
    if expand and width:
        part.mamba_n_heads = expand * part.hidden_size // width
    if heads % shared == 0 and not getattr(part, "is_heterogeneous", False):
        part.num_attention_heads = fewer
        if number(part, "num_key_value_heads"):
            part.num_key_value_heads = min(shared, 2)


def _cut_limits(part: Any, longest: int) -> None:
    for name in LIMITS:
        if isinstance(limit := getattr(part, name, None), int):
            setattr(part, name, _cut(limit, longest))
    rotary = getattr(part, "rope_parameters", None) or {}
    for each in [rotary, *rotary.values()]:
        if isinstance(each, dict) and each.get("rope_type") in MOVING_ROTARY:
            name = "original_max_position_embeddings"
            if isinstance(limit := each.get(name), int):
                each[name] = _cut(limit, longest)
                if number(part, name):
                    # Phi-3 has it twice, and this one overrides the other.
                    setattr(part, name, each[name])


def _cut(limit: int, longest: int) -> int:
    return LIMIT if limit < longest else max(limit, 2 * sum(LENGTHS))
