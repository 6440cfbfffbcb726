"""Judge: the step as torch runs it on fake tensors: what is alive, and its kernels. All layers: docs/speed.md."""

from functools import cache

import pytest

from tests.bench import fake_card, roofline
from tests.bench.counted import BASES, config_of, setting_of, shape_of
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.memory import memory
from trainer.contract.sizing.roofline import seconds, training

TOKENS, ROWS = 8192, 8
EACH = [*((base, "bf16") for base in BASES), ("Qwen2.5 7B", "nf4")]


@cache
def step(base, precision, every):
    """Four layers; the planner's shape and setting of them, and the traced step."""
    config = config_of(base, layers=4)
    shape = shape_of(config)
    found = fake_card.step(config, precision=precision, every=every, tokens=TOKENS, rows=ROWS)
    return shape, setting_of(shape, precision, every, TOKENS), found


@pytest.mark.parametrize("every", [0, 2, 1])
@pytest.mark.parametrize(("base", "precision"), EACH)
def test_the_peak_of_four_layers_is_within_3_percent_of_what_is_alive(base, precision, every):
    shape, setting, found = step(base, precision, every)
    need = memory(shape, setting)
    assert need.activations + need.head + need.buffers == pytest.approx(found.peak, rel=0.03)


@pytest.mark.parametrize("every", [0, 2, 1])
@pytest.mark.parametrize(("base", "precision"), EACH)
def test_the_least_time_of_four_layers_is_within_3_percent_of_the_traced_one(
    base, precision, every
):
    shape, setting, found = step(base, precision, every)
    kernels = training(shape, setting, context=TOKENS / ROWS, scored=1.0)
    for card in roofline.FOUR:
        traced = roofline.traced(found, card)
        assert seconds(kernels, CARDS[card]) == pytest.approx(traced, rel=0.03)
