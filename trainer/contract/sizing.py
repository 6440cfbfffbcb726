"""How much memory and how many operations LoRA training takes, from the model's shape alone.

Sizes in bytes, operations in FLOPs (a multiply-add counts two), lengths in tokens. Formulas:
frozen weights need no weight gradient, so a token costs 2N forward and 2N backward (not 6N); adapters
6 per parameter; causal attention half of T x T, its backward 2.5 times the forward (FlashAttention-2,
arXiv 2307.08691, section 3.1); recomputation repeats the layers' forward. Memory terms follow what
torch 2.13, TRL 1.16, PEFT 0.21 and bitsandbytes 0.50 keep; `tests` hold hand-computed cases. The
activation terms are counted from the modules, not fitted: no card has confirmed them yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["bf16", "fp32", "nf4"]
BYTES: Mapping[Precision, float] = {
    "bf16": 2.0,
    "fp32": 4.0,
    # 4 bits, and a scale per 64 weights: 8 bits each, and a 32-bit scale per 256 of those.
    "nf4": 0.5 + (1 + 4 / 256) / 64,
}
TILE = 256 * 2**20  # TRL's loss head: 4,096 x 32,768 logits in bf16 at a time
CONTEXT = 10**9  # CUDA context and libraries; 0.6 to 1.4 GB were reported
SLACK = 1.07  # the allocator's; 5 to 10% were reported


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A decoder of Llama's shape (Llama, Mistral, Qwen2, Qwen3): widths and counts."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    tied: bool
    qkv_bias: bool = False

    @property
    def query(self) -> int:
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        return self.kv_heads * self.head_dim

    def projections(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of a layer's linear maps: q, k, v, o, gate, up, down."""
        h, q, k, f = self.hidden, self.query, self.key, self.ffn
        return [(h, q), (h, k), (h, k), (q, h), (h, f), (h, f), (f, h)]

    @property
    def linear(self) -> int:
        """Weights in the layers' linear maps: what is quantised and adapted."""
        return self.layers * sum(a * b for a, b in self.projections())

    @property
    def head(self) -> int:
        return self.vocab * self.hidden

    @property
    def other(self) -> int:
        """Embeddings (and the head, where it is its own), norms and biases."""
        embeddings = self.head * (1 if self.tied else 2)
        norms = (2 * self.layers + 1) * self.hidden
        biases = self.layers * (self.query + 2 * self.key) if self.qkv_bias else 0
        return embeddings + norms + biases

    @property
    def parameters(self) -> int:
        return self.linear + self.other

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA of this rank on every linear map."""
        return self.layers * rank * sum(a + b for a, b in self.projections())


KNOWN: Mapping[str, Architecture] = {
    "Qwen/Qwen2.5-3B-Instruct": Architecture(
        hidden=2048, layers=36, heads=16, kv_heads=2, head_dim=128, ffn=11008, vocab=151936,
        tied=True, qkv_bias=True,
    ),
    "Qwen/Qwen2.5-7B-Instruct": Architecture(
        hidden=3584, layers=28, heads=28, kv_heads=4, head_dim=128, ffn=18944, vocab=152064,
        tied=False, qkv_bias=True,
    ),
    "meta-llama/Llama-3.2-3B-Instruct": Architecture(
        hidden=3072, layers=28, heads=24, kv_heads=8, head_dim=128, ffn=8192, vocab=128256,
        tied=True,
    ),
}  # fmt: skip
SHAPED = {"llama", "mistral", "qwen2", "qwen3"}


def from_config(config: Mapping[str, Any]) -> Architecture | None:
    """The shape that a model's `config.json` describes; None when it is of another family."""
    if config.get("model_type") not in SHAPED:
        return None
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    bias = config["model_type"] == "qwen2" or config.get("attention_bias", False)
    return Architecture(
        hidden=hidden,
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or hidden // heads),
        ffn=int(config["intermediate_size"]),
        vocab=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=bool(bias),
    )


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How one forward and backward pass is run.

    `tokens` are those of a micro-batch with padding. `recomputed` layers
    keep only their input. `mask` tells that attention builds a tokens x tokens mask (packed rows
    without variable-length attention). `shards` cards hold a part of the weights each.
    """

    precision: Precision
    rank: int
    tokens: int
    recomputed: int
    upcast: bool = True
    mask: bool = False
    shards: int = 1


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on the card at the peak of a training step, item by item."""

    weights: int
    adapter: int
    activations: int
    head: int
    buffers: int
    context: int

    @property
    def total(self) -> int:
        """With the allocator's slack on what it allocates."""
        moving = self.weights + self.adapter + self.activations + self.head + self.buffers
        return int(moving * SLACK) + self.context


def memory(model: Architecture, setting: Setting, *, context: int = CONTEXT) -> Memory:
    """The peak of a training step. Evaluation and saving stay below it: no gradients, one row at a time."""
    loaded = 4.0 if setting.precision == "fp32" else 2.0
    weights = (model.linear * BYTES[setting.precision] + model.other * loaded) / setting.shards
    # Parameter, gradient, two moments: fp32 unless the base is quantised, when TRL makes them bf16.
    adapter = model.adapter(setting.rank) * 4 * (2 if setting.precision == "nf4" else 4)
    kept = model.layers - setting.recomputed
    layer = layer_bytes(model, setting)
    # While a layer is recomputed its whole set exists once more.
    activations = setting.tokens * (
        setting.recomputed * model.hidden * loaded + layer * (kept + (setting.recomputed > 0))
    )
    head = TILE + setting.tokens * model.hidden * 4
    largest = max(a * b for a, b in model.projections())
    buffers = largest * 2 if setting.precision == "nf4" else 0
    if setting.shards > 1:
        # FSDP2 gathers a layer while the one before it runs, and keeps the head for the backward pass.
        buffers += int((2 * model.linear / model.layers + model.head) * loaded)
    if setting.mask:
        buffers += setting.tokens**2
    return Memory(
        weights=int(weights),
        adapter=int(adapter),
        activations=int(activations),
        head=int(head),
        buffers=int(buffers),
        context=context,
    )


def layer_bytes(model: Architecture, setting: Setting) -> float:
    """What one layer saves per token for its backward pass.

    Two norms (input in fp32, output), q k v before and after the rotation, attention's output and
    log-sum, gate, up, activation and product, the adapters' inner values; with `upcast` a copy in fp32
    of every adapter's input, unless adapters are bf16 themselves.
    """
    width = 4 if setting.precision == "fp32" else 2
    h, q, k, f = model.hidden, model.query, model.key, model.ffn
    norms = 2 * (4 + width) * h
    attention = 2 * width * (q + 2 * k) + width * q + 4 * model.heads
    mlp = 4 * width * f
    adapters = 7 * setting.rank * (2 if setting.precision == "nf4" else 4)
    copies = 4 * sum(a for a, _ in model.projections()) if setting.upcast else 0
    return norms + attention + mlp + adapters + (copies if setting.precision == "bf16" else 0)


def flops_per_token(
    model: Architecture, *, rank: int, context: float, scored: float, recomputed: int
) -> float:
    """Training operations per token, forward and backward.

    `context` is the mean length of the rows a token sits in (weighted by tokens), `scored` the share of
    tokens that the loss counts: only those pass the head. `recomputed` layers run forward twice.
    """
    forward = 2 * model.linear + attention_flops(model, context)
    backward = 2 * model.linear + 2.5 * attention_flops(model, context)
    again = forward * recomputed / model.layers
    return forward + backward + again + 4 * model.head * scored + 6 * model.adapter(rank)


def forward_flops_per_token(
    model: Architecture, *, rank: int, context: float, scored: float
) -> float:
    """Operations per token of a forward pass alone, as an evaluation of the loss has; see above."""
    layers = 2 * model.linear + attention_flops(model, context)
    return layers + 2 * model.head * scored + 2 * model.adapter(rank)


def attention_flops(model: Architecture, context: float) -> float:
    """Forward operations of causal attention per token: scores and weighted sum over half the row."""
    return 2 * context * model.query * model.layers
