import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trainer.attention import attend, register

SHAPES = {
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "llama": {"num_attention_heads": 4, "num_key_value_heads": 1},
    "qwen3": {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8},
}


def model_of(kind: str):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind, hidden_size=32, intermediate_size=48, num_hidden_layers=2, vocab_size=64,
        **SHAPES[kind],
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, attn_implementation=register()).double()


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


@pytest.mark.parametrize("kind", SHAPES)
def test_joined_rows_give_the_logits_and_gradients_of_rows_alone(kind):
    model = model_of(kind)
    rows = [torch.randint(0, 64, (length,)) for length in (7, 1, 30, 30, 2)]
    alone = [model(input_ids=row[None]).logits[0] for row in rows]
    torch.cat(alone).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    together = model(**joined(rows)).logits[0]
    together.square().sum().backward()
    assert torch.equal(torch.cat(alone).isfinite(), together.isfinite())
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-12)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-10)


def test_another_row_changes_nothing():
    model = model_of("qwen2")
    row, first, second = (torch.randint(0, 64, (9,)) for _ in range(3))
    one = model(**joined([first, row])).logits[0, 9:]
    other = model(**joined([second, row])).logits[0, 9:]
    assert torch.equal(one, other)


def test_no_square_of_the_tokens_is_built():
    """A mask of 40,000 tokens would take 1.6 GB in bool; rows of 10 need next to nothing."""
    tokens = 40_000
    states = torch.zeros(1, 1, tokens, 2)
    borders = torch.arange(0, tokens + 1, 10, dtype=torch.int32)
    out, _ = attend(None, states, states, states, None, cu_seq_lens_q=borders, max_length_q=10)
    assert out.shape == (1, tokens, 1, 2)
