"""The table itself is held against the proof by `tests/trainer/attention/test_choice.py`."""

import pytest

from trainer.contract.sizing.base_models import packing

PHI = {"model_type": "phi3", "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("config", "longest", "expected"),
    [
        ({"model_type": "llama"}, 10_000, "packed"),
        ({"model_type": "gemma2"}, 10, "alone"),
        ({"model_type": "mamba"}, 10, "refused"),
        ({"model_type": "something"}, 10, "unknown"),
        ({}, 10, "unknown"),
        ({"model_type": "granite", "attention_dropout": 0.1}, 10, "alone"),
        (PHI | {"rope_scaling": {"type": "longrope"}}, 4096, "packed"),
        (PHI | {"rope_scaling": {"type": "longrope"}}, 4097, "alone"),
        (PHI | {"rope_scaling": None}, 4097, "packed"),
    ],
)
def test_how_rows_are_trained(config, longest, expected):
    assert packing(config, longest) == expected
