"""Judge: the bytes that are alive when torch runs the step on fake tensors. All layers: docs/speed.md."""

import pytest

from tests.bench import fake_card
from tests.bench.counted import BASES, config_of, setting_of
from trainer.contract.sizing.memory import memory
from trainer.contract.sizing.shapes import from_config

TOKENS = 8192


@pytest.mark.parametrize("every", [0, 2, 1])
@pytest.mark.parametrize(
    ("base", "precision"),
    [*((base, "bf16") for base in BASES), ("Qwen2.5 7B", "nf4")],
)
def test_the_peak_of_four_layers_is_within_3_percent_of_what_is_alive(base, precision, every):
    config = config_of(base, layers=4)
    shape = from_config(config.to_dict())
    assert shape is not None
    found = fake_card.step(config, precision=precision, every=every, tokens=TOKENS)
    need = memory(shape, setting_of(shape, precision, every, TOKENS))
    assert need.activations + need.head + need.buffers == pytest.approx(found.peak, rel=0.03)
