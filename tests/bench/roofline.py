"""``python -m tests.bench.roofline`` prints the shortest possible step of each recipe on four cards, kernel by kernel.

Every kernel takes at least the time to move its bytes, and at least the time for its operations at the card's
peak. The sum is the bound; a real run is slower. Fused: instead of all kernels but products and attention, the
least bytes that norms, residuals, rotation and SwiGLU can move, with or without the adapters' scaling and sums.
"""

import warnings

from tests.bench import fake_card
from tests.bench.counted import RANK, TOKENS, config_of
from trainer.contract.command import libraries
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.fit import fit, recomputed
from trainer.contract.sizing.memory import Architecture
from trainer.contract.sizing.shapes import from_config

# GB/s, from NVIDIA's data sheets.
BANDWIDTH = {
    "NVIDIA RTX A5000": 768,
    "NVIDIA GeForce RTX 4090": 1008,
    "NVIDIA A100-SXM4-80GB": 2039,
    "NVIDIA H100 80GB HBM3": 3350,
}
BASES = ("Qwen2.5 3B", "Qwen2.5 7B", "Llama 3.2 3B")
FREE = ("aten.empty", "aten.embedding.default")  # no kernel; a part of the table alone
ROWS = 8  # of equal length in a micro-batch of TOKENS


def seconds(kernel: fake_card.Kernel, card: str) -> float:
    """Return the least seconds of a kernel; torch counts attention as if it were not causal."""
    flops = kernel.flops / (2 if "varlen" in kernel.name else 1)
    return max(_moving(kernel.read + kernel.written, card), flops / (CARDS[card].peak or 0) / 1e12)


def _moving(size: float, card: str) -> float:
    return size / BANDWIDTH[card] / 1e9


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


def table() -> list[str]:
    lines = [
        "| base | card | layers recomputed | bound, tokens/s | products at the peak | other kernels | norm, rotation, SwiGLU fused | adapters too |",
        f"|{' --- |' * 8}",
    ]
    for base in BASES:
        config = config_of(base)
        shape = from_config(config.to_dict())
        assert shape is not None
        steps: dict[int, fake_card.Step] = {}
        for card in BANDWIDTH:
            memory = CARDS[card].memory * 10**9
            every = fit(shape, card_bytes=memory, rank=RANK, longest=2048, precision="bf16").every
            if every not in steps:
                steps[every] = fake_card.step(
                    config, precision="bf16", every=every, tokens=TOKENS, rank=RANK, rows=ROWS
                )
            kernels = [k for k in steps[every].kernels if not k.name.startswith(FREE)]
            products = [kernel for kernel in kernels if kernel.flops]
            whole = sum(seconds(kernel, card) for kernel in kernels)
            least = sum(kernel.flops for kernel in products) / (CARDS[card].peak or 0) / 1e12
            other = whole - sum(seconds(kernel, card) for kernel in products)
            again = recomputed(shape, every)
            fewest = TOKENS * _moving(fused_bytes(shape, again), card)
            adapters = TOKENS * _moving(adapter_bytes(shape, again), card)
            cells = [
                base, card.removeprefix("NVIDIA "), {0: "none", 2: "every second", 1: "all"}[every],
                f"{TOKENS / whole:,.0f}", f"{least / whole:.0%}", f"{other / whole:.0%}",
                f"{whole / (whole - other + fewest + adapters) - 1:+.0%}",
                f"{whole / (whole - other + fewest) - 1:+.0%}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    libraries.prepare_environment()
    libraries.import_bitsandbytes()
    warnings.simplefilter("ignore")
    print("\n".join(table()))
