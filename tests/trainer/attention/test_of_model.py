import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from trainer.attention.kernels import ROWS, VARLEN
from trainer.attention.of_model import attention_of, kernel, own_attention, window_of


def config_of(kind, **changes):
    shape = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    return AutoConfig.for_model(kind, **shape | changes)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (config_of("llama"), VARLEN),
        (config_of("qwen3", head_dim=256), VARLEN),
        (config_of("qwen3", head_dim=258), ROWS),
        (config_of("llama", hidden_size=1024), ROWS),
    ],
)
def test_heads_that_the_flash_kernel_takes_get_it_on_a_card(config, name):
    assert kernel(config, flash=True) == name
    assert kernel(config, flash=False) == ROWS


def test_a_window_is_the_one_that_transformers_applies():
    assert window_of(config_of("llama")) == 0
    assert window_of(config_of("mistral", sliding_window=16)) == 16
    assert window_of(config_of("qwen2", sliding_window=16, use_sliding_window=False)) == 0
    assert window_of(config_of("qwen2", sliding_window=16, use_sliding_window=True)) == 16


def test_a_model_runs_with_another_attention_for_a_while():
    config = config_of("llama", num_hidden_layers=1, vocab_size=8, intermediate_size=8)
    model = AutoModelForCausalLM.from_config(config)
    before = attention_of(model)
    with own_attention(model, "eager"):
        assert attention_of(model) == "eager" != before
    assert attention_of(model) == before
