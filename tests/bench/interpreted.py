"""``TRITON_INTERPRET=1 python -m tests.bench.interpreted [BASE ...]``: fused kernels on a CPU, against transformers' own.

The models are small ones of a published config: real kinds of layers and head sizes, few heads and narrow.
Differences are relative: the norm of the difference by the norm of what transformers computes.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any
from unittest import mock

import torch
from peft import get_peft_model
from peft.helpers import disable_input_dtype_casting
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.utils import add_fused_lm_head

from tests.trainer.attention.families import PUBLISHED
from trainer.adapter import lora_config
from trainer.attention import kernels, small_model
from trainer.contract.command import libraries
from trainer.contract.options import Lora
from trainer.loop.fused import Fused

BASES = ("Qwen2.5 3B", "Llama 3.2 3B", "Gemma 3 4B")
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
TOKENS = 50


def small(base: str) -> Any:
    """A small model of a published config, in fp32, with weights of norms that are not all equal."""
    from transformers import AutoConfig

    kind, values = PUBLISHED[base]
    if "text_config" in values:
        kind, values = f"{kind}_text", values["text_config"]
    config = AutoConfig.for_model(kind, **{"max_position_embeddings": 131072} | values)
    kernels.register()
    model = small_model.build(small_model.shrink(config, 2048), kernels.ROWS)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1 and "norm" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def parts(model: Any) -> dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]]:
    """The first layer's norm, rotation and MLP, each with the shapes of its inputs."""
    config, layer = model.config.get_text_config(), model.get_decoder().layers[0]
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    size = layer.self_attn.head_dim
    module = sys.modules[type(layer).__module__]
    places = torch.arange(TOKENS)[None]
    more = {"layer_type": config.layer_types[0]} if "gemma3" in config.model_type else {}

    def turn(query: Any, key: Any) -> Any:
        cos, sin = model.get_decoder().rotary_emb(query, places, **more)
        return module.apply_rotary_pos_emb(query, key, cos, sin)

    # As attention has them: a view of (batch, tokens, heads, size).
    def rotated(query: Any, key: Any) -> Any:
        return turn(query.transpose(1, 2), key.transpose(1, 2))

    hidden = (1, TOKENS, config.hidden_size)
    norm = getattr(layer, "input_layernorm", None) or layer.post_attention_layernorm  # OLMo 2
    found: dict[str, Any] = {
        "norm": (norm, [hidden]),
        "rotation": (rotated, [(1, TOKENS, heads, size), (1, TOKENS, shared, size)]),
        "MLP": (layer.mlp, [hidden]),
    }
    if len(getattr(getattr(layer.self_attn, "q_norm", None), "weight", ())) == size:
        found["norm of queries"] = layer.self_attn.q_norm, [(1, heads, TOKENS, size)]
    return found


def interpreter() -> AbstractContextManager[Any]:
    """Let Triton's interpreter compute as a card: floats are fp32, bf16 is rounded to nearest after each operation.

    It has no functions of CUDA's device library, cuts bf16 off, and computes with bf16 as with integers.
    """
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter as triton

    scalar, convert = triton._implicit_cvt, triton._convert_float
    binary = triton.InterpreterBuilder.binary_op

    def as_fp32(value: Any) -> Any:
        if isinstance(value, float):
            handle = triton.TensorHandle(np.array([value], dtype=np.float32), tl.float32)
            return tl.tensor(handle, tl.float32)
        return scalar(value)

    def rounded(values: Any, given: Any, wanted: Any, mode: Any) -> Any:
        if (given, wanted) == (tl.float32, tl.bfloat16):
            near = torch.from_numpy(np.ascontiguousarray(values)).bfloat16()
            return near.view(torch.uint16).numpy()
        if (given, wanted) == (tl.bfloat16, tl.float32):
            return values.astype(np.uint32) << 16
        return convert(values, given, wanted, mode)

    def operation(builder: Any, left: Any, right: Any, op: Any) -> Any:
        if left.dtype.scalar != tl.bfloat16:
            return binary(builder, left, right, op)
        wide = (builder.cast_impl(each, tl.float32) for each in (left, right))
        return builder.cast_impl(binary(builder, *wide, op), tl.bfloat16)

    changed = ExitStack()
    for place, name, new in (
        ("triton.runtime.interpreter", "_implicit_cvt", as_fp32),
        ("triton.runtime.interpreter", "_convert_float", rounded),
        ("triton.runtime.interpreter.InterpreterBuilder", "binary_op", operation),
        ("liger_kernel.ops.rms_norm", "rsqrt", lambda x: tl.rsqrt(x)),  # noqa: PLW0108 - looked up late
        ("liger_kernel.ops.geglu", "tanh", lambda x: 2 * tl.sigmoid(2 * x) - 1),
    ):
        changed.enter_context(mock.patch(f"{place}.{name}", new))
    return changed


def both_ways(call: Callable[..., Any], shapes: Any, kind: Any, way: Any) -> tuple[Any, Any]:
    """Outputs and gradients of the inputs, for random inputs that are the same each time."""
    torch.manual_seed(2)
    given = [torch.randn(shape).to(kind).requires_grad_() for shape in shapes]
    with way:
        made = call(*(x * 1 for x in given))
        made = made if isinstance(made, tuple) else (made,)
        weights = [torch.randn(x.shape).to(kind) for x in made]
        outputs = [x.detach().clone() for x in made]
        gradients = torch.autograd.grad(made, given, weights)
    return outputs, gradients


def apart(found: Sequence[Any], expected: Sequence[Any]) -> float:
    ours, theirs = (torch.cat([x.flatten().double() for x in each]) for each in (found, expected))
    return float((ours - theirs).norm() / theirs.norm())


def layers(bases: Sequence[str]) -> bool:
    print("| base | part | fp32, forward | backward | bf16, forward | backward |")
    print(f"|{' --- |' * 6}")
    good = True
    for base in bases:
        for part in parts(small(base)):
            cells = []
            for kind, limit in LIMITS.items():
                model = small(base).to(kind)
                call, shapes = parts(model)[part]
                ways = nullcontext(), Fused(model)
                plain, fused = (both_ways(call, shapes, kind, way) for way in ways)
                each = [apart(a, b) for a, b in zip(fused, plain, strict=True)]
                good &= max(each) <= limit
                cells += [f"{x:.1e}" for x in each]
            print(f"| {' | '.join([base, part, *cells])} |", flush=True)
    return good


def step(base: str, kind: Any, way: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Loss and gradients of a training step as the loop takes it: packed rows, LoRA, TRL's loss, recomputation."""
    model = small(base).to(kind)
    add_fused_lm_head(model)
    torch.manual_seed(3)
    model = get_peft_model(model, lora_config(Lora(r=4, dropout=0.1), None))
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight in learning:
            weight.normal_(0, 0.05)
    model.activation_checkpointing_enable()
    model.train()
    rows = [
        {"input_ids": row, "labels": row}
        for row in map(torch.Tensor.tolist, small_model.rows()[1:4])
    ]
    batch = dict(DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows))
    cast = torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16)
    with way(model), disable_input_dtype_casting(model, active=kind == torch.bfloat16):
        with cast:
            loss = model(**batch, use_cache=False, fused_lm_head=True).loss
        loss.backward()
    return [loss.detach()], [weight.grad for weight in learning]


def steps(bases: Sequence[str]) -> bool:
    print("\n| base | fp32: loss, gradient | bf16: loss, gradient norm | plain bf16 against fp32 |")
    print(f"|{' --- |' * 4}")
    good = True
    for base in bases:
        plain, fused = (
            [step(base, kind, way) for kind in LIMITS] for way in (lambda _: nullcontext(), Fused)
        )
        exact = [apart(a, b) for a, b in zip(fused[0], plain[0], strict=True)]
        close, usual = _apart_in_norm(fused[1], plain[1]), _apart_in_norm(plain[1], plain[0])
        cells = [f"{loss:.1e}, {gradient:.1e}" for loss, gradient in (exact, close, usual)]
        good &= max(exact) <= LIMITS[torch.float32] and max(close) <= LIMITS[torch.bfloat16]
        print(f"| {' | '.join([base, *cells])} |", flush=True)
    return good


def _apart_in_norm(found: tuple[Any, Any], expected: tuple[Any, Any]) -> tuple[float, float]:
    """By how much loss and gradient norm differ, as the trial step compares them."""
    norms = [float(torch.nn.utils.get_total_norm(each[1])) for each in (found, expected)]
    return apart(found[0], expected[0]), abs(norms[0] / norms[1] - 1)


if __name__ == "__main__":
    libraries.prepare_environment()
    libraries.import_bitsandbytes()
    warnings.simplefilter("ignore")
    with interpreter():
        named = sys.argv[1:] or BASES
        agree = [layers(named), steps(named)]
    sys.exit(not all(agree))
