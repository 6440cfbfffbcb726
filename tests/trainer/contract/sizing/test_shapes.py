"""Judges: transformers' count of the whole published model on the meta device, and PEFT's of its adapter."""

import warnings

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from tests.trainer.attention import families
from trainer.adapter import lora_config
from trainer.contract.options import Lora
from trainer.contract.sizing.shapes import FAMILIES, from_config

SIZED = [name for name, (kind, _) in families.PUBLISHED.items() if kind in FAMILIES]


def test_every_known_family_is_judged():
    assert {families.PUBLISHED[name][0] for name in SIZED} == set(FAMILIES)


@pytest.mark.parametrize("family", SIZED)
def test_the_counts_are_those_of_transformers_and_peft(family):
    config = families.config_of(family)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(config)
        expected = model.num_parameters()
        adapted = get_peft_model(model, lora_config(Lora(r=8), None))
    learning = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    kind, values = families.PUBLISHED[family]
    shape = from_config(config.to_dict())
    assert shape is not None
    assert shape.parameters == expected
    assert shape.adapter(8) == learning
    # As `config.json` has it: what equals the class's default may be left out.
    if "hidden_size" in values:
        short = {k: v for k, v in values.items() if k != "rope_parameters"}
        assert from_config(short | {"model_type": kind}) == shape


def test_experts_count_as_stored_and_as_passed():
    """30.5B weights, 3.3B active, as Qwen publishes of Qwen3-30B-A3B; embeddings are no products."""
    shape = from_config(families.config_of("Qwen3 30B-A3B").to_dict())
    assert shape is not None
    assert shape.parameters == pytest.approx(30.5e9, rel=2e-3)
    assert shape.passed + 2 * shape.head == pytest.approx(3.35e9, rel=1e-2)


@pytest.mark.parametrize("kind", ["mamba", "gemma3", "gemma4_text", "qwen3_5_text", "gpt_oss"])
def test_other_families_are_not_guessed(kind):
    assert from_config({"model_type": kind}) is None


@pytest.mark.parametrize(
    "mixed",
    [{"mlp_only_layers": [0]}, {"decoder_sparse_step": 2}],
    ids=["dense first", "every 2nd"],
)
def test_experts_in_some_layers_only_are_not_guessed(mixed):
    config = families.config_of("Qwen3 30B-A3B").to_dict()
    assert from_config(config | mixed) is None
