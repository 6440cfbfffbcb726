"""How much memory and how many operations LoRA training takes, computed from the model's shape.

Sizes in bytes, operations in FLOPs (a multiply-add counts two), lengths in tokens. Formulas:
frozen weights need no weight gradient, so a token costs 2N forward and 2N backward (not 6N); adapters
6 per parameter; causal attention half of T x T, its backward 2.5 times the forward (FlashAttention-2,
arXiv 2307.08691, section 3.1); recomputation repeats the layers' forward. Memory terms follow what
torch 2.13, TRL 1.16, PEFT 0.21 and bitsandbytes 0.50 keep; tests compare with hand-computed cases, and with
the bytes that are alive when torch traces the same step on fake tensors (docs/speed.md). No card has
confirmed them yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
    """A decoder of Llama's shape: widths and counts.

    ``fused``: q, k and v are one linear map, and gate and up another (Phi-3). ``experts`` of ``ffn`` each,
    of which a token uses ``active``; they are stacked in two parameters besides the linear maps, 0 for a
    dense model. ``extra``: norm and bias weights of a layer beside two norms and ``qkv_bias``. ``norms``:
    how many of a layer's norms follow attention or the feed-forward part; ``normed``: values of a token that
    norms of q and k take in.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    tied: bool
    qkv_bias: bool = False
    extra: int = 0
    norms: int = 0
    normed: int = 0
    fused: bool = False
    experts: int = 0
    active: int = 0

    @property
    def query(self) -> int:
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        return self.kv_heads * self.head_dim

    def projections(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of a layer's linear maps: q, k, v, o, gate, up, down; without stacked experts."""
        h, q, k, f = self.hidden, self.query, self.key, self.ffn
        if self.fused:
            return [(h, q + 2 * k), (q, h), (h, 2 * f), (f, h)]
        mlp = [] if self.experts else [(h, f), (h, f), (f, h)]
        return [(h, q), (h, k), (h, k), (q, h), *mlp]

    @property
    def expert(self) -> int:
        """Weights of one expert in one layer."""
        return 3 * self.hidden * self.ffn

    @property
    def stacked(self) -> int:
        """Weights of all experts and routers: neither quantised nor linear maps."""
        return self.layers * self.experts * (self.expert + self.hidden)

    @property
    def passed(self) -> int:
        """Weights that a token is multiplied with in the layers."""
        router = self.hidden * self.experts
        return self.linear + self.layers * (self.active * self.expert + router)

    @property
    def linear(self) -> int:
        """Weights in the layers' linear maps: what is quantised, and adapted beside stacked experts."""
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
        return embeddings + norms + biases + self.layers * self.extra

    @property
    def parameters(self) -> int:
        return self.linear + self.stacked + self.other

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA of this rank on every linear map.

        On stacked experts PEFT has the rank for each expert, and twice for gate and up, which are one.
        """
        h, f, n = self.hidden, self.ffn, self.experts
        experts = n * (2 * (h + 2 * f) + f + h) + h + n if n else 0
        return self.layers * rank * (sum(a + b for a, b in self.projections()) + experts)


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


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How one forward and backward pass is run.

    `tokens` are those of a micro-batch with padding. `recomputed` layers
    keep only their input. `mask`: attention builds a tokens x tokens mask (packed rows
    without variable-length attention). `shards`: the number of cards that divide the weights.
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
    """Return the peak of a training step. Evaluation and saving need less: no gradients, one row at a time."""
    loaded = 4.0 if setting.precision == "fp32" else 2.0
    whole = (model.stacked + model.other) * loaded
    weights = (model.linear * BYTES[setting.precision] + whole) / setting.shards
    # Parameter, gradient, two moments: fp32 unless the base is quantised, when TRL makes them bf16.
    adapter = model.adapter(setting.rank) * 4 * (2 if setting.precision == "nf4" else 4)
    kept = model.layers - setting.recomputed
    layer, ends = layer_bytes(model, setting), _ends(model, setting)
    saved = setting.tokens * (setting.recomputed * model.hidden * loaded + layer * kept + ends)
    if setting.precision == "bf16":
        # Autocast keeps a copy in bf16 of the fp32 adapters that it multiplies with.
        saved += 2 * model.adapter(setting.rank) * kept / model.layers
    head = TILE + setting.tokens * model.hidden * (4 + loaded)
    # The peak is at the loss head, or later in the first layer of the backward pass, which may be recomputed.
    again = layer * _recomputes_last(model, setting) - ends
    backward = setting.tokens * again + _gradients(model, setting)
    activations = saved + max(0.0, backward - head)
    buffers = 0
    if model.experts:
        # PEFT adds the adapter to a copy of a layer's stacked experts.
        buffers += int(2 * model.stacked / model.layers * loaded)
    if setting.shards > 1:
        # FSDP2 gathers a layer while the one before it runs, and keeps the head for the backward pass.
        gathered = 2 * (model.linear + model.stacked) / model.layers + model.head
        buffers += int(gathered * loaded)
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
    """Return the bytes per token that one layer saves for its backward pass.

    Two norms (input in fp32, output), input in fp32 of the other norms, q and k after the rotation, v,
    attention's output and log-sum, gate, up, activation and product, the adapters' inner values; with
    `upcast` a copy in fp32 of every adapter's input, unless adapters are bf16 themselves.
    """
    width = 4 if setting.precision == "fp32" else 2
    h, q, k, f = model.hidden, model.query, model.key, model.ffn
    norms = 2 * (4 + width) * h + 4 * (model.norms * h + model.normed)
    attention = width * (q + 2 * k) + width * q + 4 * model.heads
    mlp = 4 * width * f * max(model.active, 1)
    adapters = 7 * setting.rank * width
    copies = 4 * sum(a for a, _ in model.projections()) if setting.upcast else 0
    return norms + attention + mlp + adapters + (copies if setting.precision == "bf16" else 0)


def _ends(model: Architecture, setting: Setting) -> float:
    """Bytes per token that are saved outside the layers: the last norm, and the rotation's angles.

    Without recomputation the first norm of the first layer needs no gradient, and saves no input.
    """
    width = 4 if setting.precision == "fp32" else 2
    first = 0 if setting.recomputed else 4 * model.hidden
    return (4 + width) * model.hidden + 2 * width * model.head_dim - first


def _gradients(model: Architecture, setting: Setting) -> float:
    """Bytes of gradients that are alive at once in a layer, at most, or of fewer and of an NF4 weight in bf16."""
    width = 4 if setting.precision == "fp32" else 2
    h, f = model.hidden, model.ffn * max(model.active, 1)
    most = width * (2 * f + h) + 4 * h * bool(model.norms)
    if setting.precision != "nf4":
        return setting.tokens * most
    largest = max(a * b for a, b in model.projections())
    return max(setting.tokens * most, setting.tokens * width * (f + h) + 2 * largest)


def _recomputes_last(model: Architecture, setting: Setting) -> bool:
    """Whether the last layer is recomputed: the first of each so many is, and nothing is freed before it."""
    if not setting.recomputed:
        return False
    every = -(-model.layers // setting.recomputed)
    return (model.layers - 1) % every == 0


def flops_per_token(
    model: Architecture, *, rank: int, context: float, scored: float, recomputed: int
) -> float:
    """Training operations per token, forward and backward.

    `context` is the mean length of the rows a token sits in (weighted by tokens), `scored` the share of
    tokens that the loss counts: only those pass the head. `recomputed` layers run forward twice.
    """
    forward = 2 * model.passed + attention_flops(model, context)
    backward = 2 * model.passed + 2.5 * attention_flops(model, context)
    again = forward * recomputed / model.layers
    return forward + backward + again + 4 * model.head * scored + 6 * model.adapter(rank)


def attention_flops(model: Architecture, context: float) -> float:
    """Forward operations of causal attention per token: scores and weighted sum over half the row."""
    return 2 * context * model.query * model.layers
