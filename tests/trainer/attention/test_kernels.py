"""Judge: the model's own eager attention in transformers, each row alone, in fp64."""

from typing import Any

import pytest
import torch
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

from tests.trainer.attention.varlen import varlen_attn
from trainer.attention import kernels
from trainer.contract.command.errors import ModelUnavailable

WINDOW = 8
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
KINDS = ["sliding_attention", "full_attention"]
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2": HEADS,
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "qwen3": {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8},
    "mistral": HEADS | {"sliding_window": WINDOW},
    "phi3": HEADS | {"sliding_window": WINDOW, "pad_token_id": 0},
    "gemma3_text": HEADS | {"head_dim": 8, "sliding_window": WINDOW, "layer_types": KINDS},
}
# Softmax of eager attention is in fp32 whatever the weights are.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def model_of(kind: str, name: str = kernels.ROWS, **more):
    kernels.register()
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, hidden_size=32, intermediate_size=48, num_hidden_layers=2, vocab_size=64,
        **SHAPES.get(kind, {}) | more,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, attn_implementation=name).double()
    with torch.no_grad():
        # As they are initialised, scores are too flat for a window to matter.
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.3)
    return model


def joined(rows):
    lengths = torch.tensor([0, *map(len, rows)], dtype=torch.int32)
    borders = lengths.cumsum(0).to(torch.int32)
    return {
        "input_ids": torch.cat(rows)[None],
        "position_ids": torch.cat([torch.arange(len(row)) for row in rows])[None],
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": int(lengths.max()),
        "max_length_k": int(lengths.max()),
    }


def rows_of(*lengths):
    return [torch.randint(1, 64, (length,)) for length in lengths]


@pytest.fixture
def plain_kernel(monkeypatch):
    """The flash kernel as documented, without a card."""
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)


@pytest.mark.parametrize("name", [kernels.ROWS, kernels.VARLEN])
@pytest.mark.parametrize("kind", SHAPES)
def test_joined_rows_give_the_logits_and_gradients_of_eager_rows_alone(kind, name, plain_kernel):
    model = model_of(kind, "eager")
    rows = rows_of(30, 1, 7, WINDOW, WINDOW + 1, 2)
    alone = [model(input_ids=row[None]).logits[0] for row in rows]
    torch.cat(alone).square().sum().backward()
    expected = {weight: p.grad.clone() for weight, p in model.named_parameters()}
    model.zero_grad()
    model.set_attn_implementation(name)
    together = model(**joined(rows)).logits[0]
    together.square().sum().backward()
    torch.testing.assert_close(together, torch.cat(alone), **CLOSE)
    for weight, parameter in model.named_parameters():
        scale = float(expected[weight].abs().max())
        torch.testing.assert_close(parameter.grad, expected[weight], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", SHAPES)
def test_one_row_without_borders_and_a_batch_of_equal_rows(kind):
    model = model_of(kind, "eager")
    rows = torch.stack(rows_of(30, 30))
    expected = [model(input_ids=row[None]).logits[0] for row in rows]
    model.set_attn_implementation(kernels.ROWS)
    torch.testing.assert_close(model(input_ids=rows).logits, torch.stack(expected), **CLOSE)


@pytest.mark.parametrize("kind", SHAPES)
def test_padding_and_generation_are_those_of_eager_attention(kind):
    # Eager attention gives NaN for padding in fp64: it turns the mask into -inf.
    model = model_of(kind, "eager").float().eval()
    prompts = torch.stack(rows_of(20, 20))
    seen = torch.ones_like(prompts)
    seen[0, :9] = 0

    def answers():
        made = model.generate(
            prompts, attention_mask=seen, max_new_tokens=12, do_sample=False, pad_token_id=0,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        return torch.stack(made.logits)

    expected = answers()
    model.set_attn_implementation(kernels.ROWS)
    torch.testing.assert_close(answers(), expected, **CLOSE)


def test_another_row_changes_nothing():
    model = model_of("qwen2")
    row, first, second = rows_of(9, 9, 9)
    one = model(**joined([first, row])).logits[0, 9:]
    other = model(**joined([second, row])).logits[0, 9:]
    assert torch.equal(one, other)


def test_no_square_of_the_tokens_is_built():
    """A mask of 40,000 tokens would take 1.6 GB in bool; rows of 10 need next to nothing."""
    tokens = 40_000
    states = torch.zeros(1, 1, tokens, 2)
    borders = torch.arange(0, tokens + 1, 10, dtype=torch.int32)
    kernel = kernels._row_by_row
    mask = kernels.Causal(None, packed=True)
    out, _ = kernels.attend(
        kernel, None, states, states, states, mask, cu_seq_lens_q=borders, max_length_q=10
    )
    assert out.shape == (1, tokens, 1, 2)


def attend(mask=None, module=None, **keywords):
    states = torch.zeros(1, 1, 4, 2)
    borders = torch.tensor([0, 1, 4], dtype=torch.int32)
    mask = kernels.Causal(None, packed=True) if mask is None else mask
    given = {"cu_seq_lens_q": borders, "max_length_q": 3} | keywords
    return kernels.attend(kernels._row_by_row, module, states, states, states, mask, **given)


@pytest.mark.parametrize(
    ("keywords", "what"),
    [
        ({"softcap": 50.0}, "a soft cap"),
        ({"softcap": 0.0}, "a soft cap"),
        ({"s_aux": torch.zeros(4)}, "sinks"),
        ({"dropout": 0.1}, "dropout"),
        ({"position_bias": torch.zeros(1)}, "position_bias"),
        ({"something_new": 1, "softcap": 1.0}, "a soft cap, something_new"),
        ({"is_causal": False}, "tokens that see later ones"),
        ({"sliding_window": 3}, "a window of 3 and a mask of None"),
        ({"cu_seq_lens_q": None}, "rows whose borders are not given"),
        ({"mask": torch.ones(1, 1, 4, 4)}, "a mask that transformers' masking_utils did not make"),
        ({"module": torch.nn.Module()}, None),
        ({"softcap": None, "sliding_window": None, "output_attentions": False}, None),
        ({"position_ids": torch.zeros(4), "seq_idx": torch.zeros(4), "dropout": 0.0}, None),
    ],
)
def test_what_is_not_computed_is_an_error_that_names_it(keywords, what):
    if what is None:
        attend(**keywords)
        return
    with pytest.raises(ModelUnavailable) as caught:
        attend(**keywords)
    assert caught.value.cause == f"attention with {what} cannot be packed exactly"


@pytest.mark.parametrize(
    ("kind", "more", "what"),
    [
        ("gemma2", {"head_dim": 8, "sliding_window": 8}, "a soft cap"),
        ("llama4_text", {"attention_chunk_size": 8, "head_dim": 8, "num_local_experts": 2,
                         "layer_types": ["chunked_attention", "full_attention"]},
         "the mask chunked_overlay"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "the mask or_masks"),
    ],
)  # fmt: skip
def test_a_model_whose_mask_or_scores_are_not_ours_is_refused(kind, more, what):
    model = model_of(kind, **HEADS | more)
    with pytest.raises(ModelUnavailable, match=f"attention with {what} cannot be packed exactly"):
        model(**joined(rows_of(9, 5)))


def test_a_window_that_only_the_mask_knows_is_applied(monkeypatch):
    """The judge reads masks alone, as eager attention does: here the module passes no window."""
    model = model_of("mistral", "eager")
    rows = rows_of(30, 21)
    expected = torch.cat([model(input_ids=row[None]).logits[0] for row in rows])
    model.set_attn_implementation(kernels.ROWS)
    plain = AttentionInterface()[kernels.ROWS]

    def without(*given, sliding_window, **keywords):
        assert sliding_window == WINDOW
        return plain(*given, **keywords)

    monkeypatch.setitem(AttentionInterface._global_mapping, kernels.ROWS, without)
    torch.testing.assert_close(model(**joined(rows)).logits[0], expected, **CLOSE)


def test_values_narrower_than_keys_are_padded_for_the_flash_kernel(plain_kernel):
    states = torch.randn(1, 2, 9, 8, dtype=torch.double)
    value = torch.randn(1, 2, 9, 5, dtype=torch.double)
    borders = torch.tensor([0, 4, 9], dtype=torch.int32)
    given = (states, states, value, borders, 5, 3, 0.5)
    torch.testing.assert_close(kernels._varlen(*given), kernels._row_by_row(*given))
