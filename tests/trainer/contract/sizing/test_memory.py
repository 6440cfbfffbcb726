"""Against figures computed by hand from the published configurations (see the comments)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.sizing.memory import (
    KNOWN,
    Architecture,
    Setting,
    flops_per_token,
    layer_bytes,
    memory,
)
from trainer.contract.sizing.shapes import from_config

GIB = 2**30
QWEN3B, QWEN7B, LLAMA3B = KNOWN.values()
SETTING = Setting(precision="bf16", rank=32, tokens=4096, recomputed=36)


@pytest.mark.parametrize(
    ("model", "total", "layers", "per_rank"),
    [
        (QWEN3B, 3.086e9, 2.775e9, 1_870_848),
        (QWEN7B, 7.616e9, 6.526e9, 2_523_136),
        (LLAMA3B, 3.213e9, 2.819e9, 1_519_616),
    ],
)
def test_parameters_as_published(model: Architecture, total: float, layers: float, per_rank: int):
    assert model.parameters == pytest.approx(total, rel=1e-3)
    assert model.linear == pytest.approx(layers, rel=1e-3)
    assert model.adapter(1) == per_rank


# 4N + head + attention + adapters of rank 16 at T = 4096, all tokens scored, without and with recomputation.
@pytest.mark.parametrize(
    ("model", "plain", "recomputed"),
    [(QWEN3B, 14.6, 20.8), (QWEN7B, 31.4, 45.3), (LLAMA3B, 15.5, 21.8)],
)
def test_operations_per_token(model: Architecture, plain: float, recomputed: float):
    def gflop(layers: int) -> float:
        return flops_per_token(model, rank=16, context=4096, scored=1, recomputed=layers) / 1e9

    assert gflop(0) == pytest.approx(plain, abs=0.06)
    assert gflop(model.layers) == pytest.approx(recomputed, abs=0.11)


@pytest.mark.parametrize(
    ("model", "bf16", "nf4"),
    [(QWEN3B, 5.75, 1.91), (QWEN7B, 14.19, 5.17), (LLAMA3B, 5.98, 2.09)],
)
def test_weights(model: Architecture, bf16: float, nf4: float):
    in_bf16 = Setting(precision="bf16", rank=32, tokens=1, recomputed=0)
    in_nf4 = Setting(precision="nf4", rank=32, tokens=1, recomputed=0)
    assert memory(model, in_bf16).weights / GIB == pytest.approx(bf16, abs=0.01)
    assert memory(model, in_nf4).weights / GIB == pytest.approx(nf4, abs=0.01)


def test_divided_weights_are_a_part_and_what_is_gathered():
    """By hand: 15.23 GB / 4; two layers of 233.0M weights and a head of 545.0M, 2 bytes each."""
    four = memory(QWEN7B, Setting(precision="bf16", rank=16, tokens=1, recomputed=28, shards=4))
    assert four.weights / 1e9 == pytest.approx(3.808, abs=0.001)
    assert four.buffers / 1e9 == pytest.approx(4 * 0.23305 + 2 * 0.54500, abs=0.001)
    whole = memory(QWEN7B, Setting(precision="bf16", rank=16, tokens=1, recomputed=28))
    assert (whole.adapter, whole.activations) == (four.adapter, four.activations)


def test_adapter_state():
    # 59.9 million parameters of rank 32: 16 bytes each in fp32, 8 in bf16 under NF4.
    assert memory(QWEN3B, SETTING).adapter == 1_870_848 * 32 * 16
    nf4 = Setting(precision="nf4", rank=32, tokens=1, recomputed=0)
    assert memory(QWEN3B, nf4).adapter == 1_870_848 * 32 * 8


def test_activations_of_recomputed_layers_are_their_inputs_one_layer_and_its_gradients():
    """Inputs 36 x 2 x 2048, gradients 2 (2 x 11008 + 2048) a token; the head's 6 x 2048 and tile are freed by then."""
    found = memory(QWEN3B, SETTING)
    alive = found.activations + found.head - 4096 * layer_bytes(QWEN3B, SETTING)
    assert alive == pytest.approx(4096 * (36 * 2 * 2048 + 2 * (2 * 11008 + 2048)), rel=1e-6)


def test_a_layer_by_hand():
    small = Architecture(
        hidden=8, layers=1, heads=2, kv_heads=1, head_dim=4, ffn=16, vocab=32, tied=True
    )
    setting = Setting(precision="bf16", rank=2, tokens=1, recomputed=0)
    # norms 2 (4+2) 8 = 96; q k v 2 (8+8) = 32, out 16, log-sum 8; mlp 4 2 16 = 128;
    # inner 7 2 2 = 28; copies 4 (8+8+8+8+8+8+16) = 256
    assert layer_bytes(small, setting) == 96 + 32 + 16 + 8 + 128 + 28 + 256


def test_a_mask_grows_with_the_square():
    masked = Setting(precision="nf4", rank=8, tokens=1000, recomputed=0, mask=True)
    plain = Setting(precision="nf4", rank=8, tokens=1000, recomputed=0)
    assert memory(QWEN7B, masked).buffers - memory(QWEN7B, plain).buffers == 10**6


@given(
    tokens=st.integers(1, 10**5),
    rank=st.integers(1, 256),
    precision=st.sampled_from(["bf16", "nf4", "fp32"]),
)
def test_recomputing_more_saves_memory_and_costs_operations(tokens, rank, precision):
    def peak(layers: int) -> int:
        setting = Setting(precision=precision, rank=rank, tokens=tokens, recomputed=layers)
        return memory(QWEN3B, setting).total

    def cost(layers: int) -> float:
        return flops_per_token(QWEN3B, rank=rank, context=tokens, scored=0.5, recomputed=layers)

    assert peak(0) > peak(18) > peak(36)
    assert cost(0) < cost(18) < cost(36)


def test_configs():
    qwen = {
        "model_type": "qwen2", "hidden_size": 2048, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "intermediate_size": 11008,
        "vocab_size": 151936, "tie_word_embeddings": True,
    }  # fmt: skip
    assert from_config(qwen) == QWEN3B
    assert from_config({**qwen, "model_type": "mamba"}) is None
    wide = from_config({**qwen, "model_type": "qwen3", "head_dim": 256})
    assert wide is not None
    assert (wide.query, wide.qkv_bias) == (16 * 256, False)
