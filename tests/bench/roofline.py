"""``python -m tests.bench.roofline`` prints the shortest possible step of each recipe on four cards, kernel by kernel.

Every kernel takes at least the time to move its bytes, and at least the time for its operations at the card's
peak. The sum is the bound; a real run is slower. Fused: instead of all kernels but products and attention, the
least bytes that norms, residuals, rotation and SwiGLU can move, with or without the adapters' scaling and sums.
"""

from collections.abc import Iterator, Sequence

from tests.bench import fake_card
from tests.bench.counted import HOW, RANK, TOKENS, config_of, print_table, setting_of, shape_of
from trainer.contract.sizing import roofline
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.fit import fit, recomputed
from trainer.contract.sizing.memory import Architecture

FOUR = {
    "NVIDIA RTX A5000": "RTX A5000",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "NVIDIA A100-SXM4-80GB": "A100 SXM",
    "NVIDIA H100 80GB HBM3": "H100 SXM",
}
BASES = ("Qwen2.5 3B", "Qwen2.5 7B", "Llama 3.2 3B")
FREE = ("aten.empty", "aten.embedding.default")  # no kernel; a part of the table alone
ROWS = 8  # of equal length in a micro-batch of TOKENS


def traced(step: fake_card.Step, card: str) -> float:
    """Return the least seconds of a traced step."""
    return sum(seconds(kernel, card) for kernel in step.kernels)


def seconds(kernel: fake_card.Kernel, card: str) -> float:
    """Return the least seconds of a kernel; torch counts attention as if it were not causal."""
    if kernel.name.startswith(FREE):
        return 0.0
    flops = kernel.flops / (2 if "varlen" in kernel.name else 1)
    return max(_moving(kernel.read + kernel.written, card), flops / CARDS[card].peak / 1e12)


def _moving(size: float, card: str) -> float:
    return size / CARDS[card].bandwidth / 1e9


def fused_bytes(shape: Architecture, again: int) -> float:
    """Return the least bytes per token in bf16; ``again`` layers run forward twice.

    Forward: two norms 4h, two residuals 6h, rotation 4 (q + k), SwiGLU 6f. Backward: 6h, 6h, 4 (q + k), 10f.
    """
    h, turned, f = shape.hidden, shape.query + shape.key, shape.ffn
    forward = 20 * h + 4 * turned + 6 * f
    return shape.layers * (24 * h + 4 * turned + 10 * f) + (shape.layers + again) * forward


def adapter_bytes(shape: Architecture, again: int) -> float:
    """Return the bytes per token that scaling and sums of the adapters move, in bf16.

    Forward: an output scaled 4, added 6. Backward: a gradient scaled 4, its two parts added 6, and the sums of
    q, k, v and of gate, up 6h each.
    """
    given = sum(a for a, _ in shape.projections())
    made = sum(b for _, b in shape.projections())
    backward = 4 * made + 6 * given + 3 * 6 * shape.hidden
    return shape.layers * backward + (shape.layers + again) * 10 * made


def table() -> Iterator[Sequence[str]]:
    yield (
        "base", "card", "layers recomputed", "bound, tokens/s", "error of the formula", "products at the peak",
        "other kernels", "norm, rotation, SwiGLU fused", "adapters too",
    )  # fmt: skip
    for base in BASES:
        config = config_of(base)
        shape = shape_of(config)
        steps: dict[int, fake_card.Step] = {}
        for card, short in FOUR.items():
            memory = CARDS[card].memory * 10**9
            every = fit(shape, card_bytes=memory, rank=RANK, longest=2048, precision="bf16").every
            if every not in steps:
                steps[every] = fake_card.step(
                    config, precision="bf16", every=every, tokens=TOKENS, rank=RANK, rows=ROWS
                )
            products = [kernel for kernel in steps[every].kernels if kernel.flops]
            whole = traced(steps[every], card)
            least = sum(kernel.flops for kernel in products) / CARDS[card].peak / 1e12
            other = whole - sum(seconds(kernel, card) for kernel in products)
            again = recomputed(shape, every)
            fewest = TOKENS * _moving(fused_bytes(shape, again), card)
            adapters = TOKENS * _moving(adapter_bytes(shape, again), card)
            setting = setting_of(shape, "bf16", every, TOKENS)
            formula = roofline.rate(shape, setting, CARDS[card], context=TOKENS / ROWS, scored=1.0)
            yield (
                base, short, HOW[every], f"{TOKENS / whole:,.0f}", f"{formula * whole / TOKENS - 1:+.1%}",
                f"{least / whole:.0%}", f"{other / whole:.0%}",
                f"{whole / (whole - other + fewest + adapters) - 1:+.0%}",
                f"{whole / (whole - other + fewest) - 1:+.0%}",
            )  # fmt: skip


if __name__ == "__main__":
    print_table(table)
