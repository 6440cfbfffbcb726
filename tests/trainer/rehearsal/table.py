"""Which runs the rehearsal plays: every pair of a precision, a variant of LoRA and a scenario."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

PRECISIONS = ("bf16", "nf4")
VARIANTS = {
    "plain": "lora.variant=plain",
    "rslora": "lora.variant=rslora",
    "dora": "lora.variant=dora",
    "lora+": "lora.plus=4",
}
SCENARIOS = (
    "no held-out rows",
    "held-out rows with samples",
    "early stop",
    "keep best",
    "resume after a kill",
    "out of memory at load",
    "out of memory at a step",
    "out of memory in an evaluation",
    "evaluation of base against adapter",
    "export",
)
# Every scenario with every variant, in one precision or the other: so every pair of choices is there.
TABLE = [
    (PRECISIONS[(row + column) % 2], variant, scenario)
    for row, scenario in enumerate(SCENARIOS)
    for column, variant in enumerate(VARIANTS)
]
PLAYED: set[str] = set()


def plays(scenario: str) -> Callable[[Any], Any]:
    """Parametrize a test with the (precision, variant) in which the table has ``scenario``."""
    PLAYED.add(scenario)
    chosen = [(precision, variant) for precision, variant, name in TABLE if name == scenario]
    return pytest.mark.parametrize(("precision", "variant"), chosen)


def missing_pairs() -> set[tuple[str, str]]:
    """Return the pairs of choices that no played row of the table has."""
    choices = (PRECISIONS, VARIANTS, SCENARIOS)
    played = [row for row in TABLE if row[2] in PLAYED]
    return {
        pair
        for left, right in ((0, 1), (0, 2), (1, 2))
        for pair in product(choices[left], choices[right])
        if pair not in {(row[left], row[right]) for row in played}
    }
