"""One training step of a real shape on fake tensors: the bytes that are alive, and what each kernel moves.

No weights, no card and no time are needed: torch's FakeTensorMode computes shapes alone. The model is built,
patched and called as the trainer does it on a card: its packed attention (one flash call), PEFT's LoRA, TRL's
loss head, autocast and recomputation. Every token is trained. Replaced are TRL's two Triton kernels (in
place: they allocate nothing) and its product with fp32 sums, which on a card makes no copies.
"""

import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from peft import get_peft_model
from peft.helpers import disable_input_dtype_casting
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker
from torch.utils.weak import WeakIdKeyDictionary

from trainer.adapter import lora_config
from trainer.attention import kernels
from trainer.contract.options import Lora
from trainer.device import CPU, Device, numerics

CARD = Device("cuda", "a card", 10**12, flash=True, place=CPU)
BLOCK, BLOCKS = 64, 256  # weights of one NF4 scale; scales of one fp32 scale


@dataclass(frozen=True, slots=True)
class Kernel:
    """``modules``: names of the modules that the kernel runs in; ``flops``: of matrix products and attention."""

    name: str
    read: int
    written: int
    flops: int
    modules: frozenset[str]


@dataclass(slots=True)
class Step:
    """Bytes above weights and adapter: alive after the forward pass, and at the peak of the whole step."""

    saved: int = 0
    peak: int = 0
    kernels: list[Kernel] = field(default_factory=list)


def step(
    config: Any,
    *,
    precision: str,
    every: int,
    tokens: int,
    rank: int = 32,
    rows: int = 1,
    named: bool = False,
    within: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
) -> Step:
    """Trace a micro-batch of ``rows`` rows of equal length, forward and backward.

    ``named``: also the modules of each kernel; torch's tracker then keeps tensors longer, so the peak is wrong.
    ``within``: makes a context for the step from the model.
    """
    how = numerics(CARD, precision)
    model = _model(config, how, rank)
    if every:
        model.activation_checkpointing_enable(every_n_layers=every)
    with _card(), torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        _place(model)
        if every:
            model.enable_input_require_grads()
        batch = _batch(tokens, rows)
        modules = ModuleTracker() if named else None
        watch = _Watch([*model.parameters(), *model.buffers(), *batch.values()], modules)
        with (
            disable_input_dtype_casting(model, active=how.autocast),
            modules or nullcontext(),
            within(model),
            watch,
        ):
            with how.context():
                outputs = model.train()(**batch, use_cache=False, fused_lm_head=True)
            loss = outputs.loss
            del outputs
            watch.step.saved = watch.alive
            loss.backward()
    return watch.step


def _model(config: Any, how: Any, rank: int) -> Any:
    """The base with its adapter, as the trainer makes them, on the meta device."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from trl.trainer.utils import add_fused_lm_head

    kernels.register()
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(
            config, dtype=how.dtype(how.weights), attn_implementation=kernels.VARLEN
        )
        if how.precision == "nf4":
            quantised = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=how.dtype(how.compute),
            )
            model = replace_with_bnb_linear(model, ["lm_head"], quantised)
            model.is_loaded_in_4bit = True
        add_fused_lm_head(model)
        model = get_peft_model(model, lora_config(Lora(r=rank), None))
    if how.precision == "nf4":
        for weight in model.parameters():
            if weight.requires_grad:  # as TRL does on a quantised base
                weight.data = weight.data.to(torch.bfloat16)
    return model


def _place(model: Any) -> None:
    """Give every parameter and buffer of a model on the meta device a fake tensor in its place."""
    made: dict[int, Any] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for name, old in table.items():
                if old is not None and id(old) not in made:
                    made[id(old)] = _fake(old, module)
                table[name] = made.get(id(old))


def _fake(old: Any, module: Any) -> Any:
    if type(old).__name__ == "Params4bit":
        return _quantised(module.out_features, module.in_features, module.weight.quant_type)
    new = torch.empty(old.shape, dtype=old.dtype)
    if isinstance(old, torch.nn.Parameter):
        return torch.nn.Parameter(new, requires_grad=old.requires_grad)
    return new


def _quantised(outputs: int, inputs: int, kind: str) -> Any:
    from bitsandbytes.functional import QuantState

    count = outputs * inputs
    scales = math.ceil(count / BLOCK)
    weight: Any = torch.nn.Parameter(torch.empty(count // 2, 1, dtype=torch.uint8), False)
    weight.quant_state = QuantState(
        absmax=torch.empty(scales, dtype=torch.uint8), shape=torch.Size([outputs, inputs]),
        code=torch.empty(16), blocksize=BLOCK, quant_type=kind, dtype=torch.bfloat16,
        offset=torch.empty(()),
        state2=QuantState(
            absmax=torch.empty(math.ceil(scales / BLOCKS)), code=torch.empty(256), blocksize=BLOCKS,
            dtype=torch.float32,
        ),
    )  # fmt: skip
    return weight


def _batch(tokens: int, rows: int) -> dict[str, Any]:
    """What TRL's collator gives for packed rows, without values."""
    borders = torch.empty(rows + 1, dtype=torch.int32)
    ids = {name: torch.empty((1, tokens), dtype=torch.long) for name in ("input_ids", "labels")}
    longest = tokens // rows
    return ids | {
        "position_ids": torch.empty((1, tokens), dtype=torch.long),
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


@contextmanager
def _card() -> Iterator[None]:
    """Let TRL's loss head run as on a card: its kernels, and its product with fp32 sums, as one operator each."""
    head = "trl.kernels.chunked_logprob."

    def fold(tile: Any, *_args: Any, **_kwargs: Any) -> None:
        tile.sum()

    def turn(tile: Any, *_args: Any, **_kwargs: Any) -> None:
        tile.neg_()

    def product(total: Any, left: Any, right: Any) -> None:
        torch.mm(left, right)

    with (
        mock.patch(f"{head}_forward_tile", fold),
        mock.patch(f"{head}_backward_tile", turn),
        mock.patch(f"{head}_addmm_fp32", product),
    ):
        yield


class _Watch(TorchDispatchMode):  # type: ignore[misc]
    """Follows every storage from the operator that makes it to its end."""

    def __init__(self, known: list[Any], modules: Any) -> None:
        super().__init__()
        self.step, self.alive = Step(), 0
        self._known = [x.untyped_storage() for x in known if isinstance(x, torch.Tensor)]
        self._seen = WeakIdKeyDictionary(dict.fromkeys(self._known))
        self._modules = modules

    def __torch_dispatch__(self, call: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = call(*args, **kwargs)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        for tensor in made:
            self._follow(tensor)
        if made and (call._schema.is_mutable or not {*map(_key, made)} <= {*map(_key, given)}):
            if call is torch.ops.bitsandbytes.gemm_4bit.default:
                self._split(given, made[0], args[2])
                return out
            flops = flop_registry.get(call._overloadpacket)
            kernel = Kernel(
                str(call),
                sum(map(_bytes, given)),
                sum(map(_bytes, made)),
                flops(*args, **kwargs, out_val=out) if flops else 0,
                frozenset(self._modules.parents) if self._modules else frozenset(),
            )
            self.step.kernels.append(kernel)
        return out

    def _split(self, given: list[Any], made: Any, shape: Any) -> None:
        """As bitsandbytes does on a card, from 1,536 tokens at the latest: dequantise, then multiply."""
        weight, packed = 2 * math.prod(shape), sum(map(_bytes, given[1:]))
        read, flops = _bytes(given[0]) + weight, 2 * made.numel() * shape[1]
        self.step.kernels += [
            Kernel("dequantise", packed, weight, 0, frozenset()),
            Kernel("multiply", read, _bytes(made), flops, frozenset()),
        ]

    def _follow(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen[storage] = None
            self.alive += storage.nbytes()
            self.step.peak = max(self.step.peak, self.alive)
            weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, size: int) -> None:
        self.alive -= size


def _key(tensor: Any) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())
