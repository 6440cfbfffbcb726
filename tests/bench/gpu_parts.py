"""The parts of the card's bench in the order of their worth, and the seconds that each is likely to take.

``python -m tests.bench.gpu_parts "NVIDIA H100 80GB HBM3"`` prints them for that card.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.gpu_ways import BATCH, MIXES, SEED_BATCH, STEPS, rows_of
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.memory import BYTES, KNOWN, Architecture, Precision, flops_per_token
from trainer.data.encode import Examples

FULL, TURNS = MIXES
# Of a card's peak, as low as it is likely to be: published runs reached half, and the seed's script pads its rows.
SHARE = {"ours": 0.25, "seed": 0.12}
TRIAL = 6  # times that the trial step is run, in both ways
START = 12  # seconds before a model loads, and after the last step
SAVE, LOAD = 0.8e9, 1.5e9  # bytes a second


@dataclass(frozen=True)
class Part:
    """One line of the table, for each model."""

    mix: str
    precision: Precision
    way: str


PARTS = (
    Part(FULL, "bf16", "ours"),
    Part(TURNS, "nf4", "seed"),
    Part(TURNS, "bf16", "ours"),
    Part(FULL, "nf4", "ours"),
    Part(TURNS, "nf4", "ours"),
    Part(FULL, "nf4", "seed"),
)


def examples_of(part: Part, shrink: int = 1) -> Examples:
    batch = SEED_BATCH if part.way == "seed" else BATCH[part.mix]
    return rows_of(part.mix, STEPS * batch, shrink)


def seconds(part: Part, shape: Architecture, card: str, *, saved: bool) -> float:
    """Return the likely seconds of a part, 0 for an unknown card; ``saved``: the model is on disk."""
    if card not in CARDS:
        return 0
    peak = CARDS[card].peak
    examples = examples_of(part)
    tokens: float = examples.tokens
    if part.way == "ours":
        # The step with most tokens; the others are about as long.
        tokens += TRIAL * tokens / STEPS
    work = flops_per_token(
        shape,
        rank=32,
        context=sum(x * x for x in examples.lengths) / examples.tokens,
        scored=examples.trained_tokens / examples.tokens,
        recomputed=0,
    )
    weights = shape.parameters * BYTES["bf16"]
    moving = weights / LOAD + (0 if saved else weights / SAVE)
    return START + moving + tokens * work / (peak * 1e12 * SHARE[part.way])


def estimate(shapes: Mapping[str, Architecture], card: str) -> list[tuple[str, Part, float]]:
    """Return every part of every model with its seconds, in the order in which they are run."""
    return [
        (name, part, seconds(part, shape, card, saved=part is not PARTS[0]))
        for part in PARTS
        for name, shape in shapes.items()
    ]


if __name__ == "__main__":
    total = 0.0
    for name, part, expected in estimate(KNOWN, sys.argv[1]):
        total += expected
        print(
            f"{name:34} {part.mix:10} {part.precision} {part.way:4} {expected:4.0f} s {total:5.0f} s in all"
        )
