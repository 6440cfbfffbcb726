"""The plain reference of the flash kernel. Judge: torch's own attention on each row alone, and its signature."""

import inspect
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention

from tests.trainer.attention.varlen import varlen_attn

LENGTHS = [5, 1, 9]
LONGEST, WIDTH = 9, 4


def states(heads=4, shared=2, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = [(sum(LENGTHS), count, WIDTH) for count in (heads, shared, shared)]
    return [torch.randn(shape, dtype=dtype) for shape in shapes]


def borders(dtype=torch.int32):
    return torch.tensor([0, *LENGTHS]).cumsum(0).to(dtype)


def call(given, where=None, longest: Any = LONGEST, **keywords: Any) -> Any:
    where = borders() if where is None else where
    query, key, value = given
    more = {"enable_gqa": True} | keywords
    return varlen_attn(query, key, value, where, where, longest, longest, **more)


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("window", [(-1, -1), (-1, 0), (0, 0), (2, 0), (1, 3)])
def test_each_row_sees_itself_within_the_window(window, scale):
    left, right = window
    expected = []
    for row in zip(*(each.split(LENGTHS) for each in states()), strict=True):
        q, k, v = (each.transpose(0, 1) for each in row)
        seen = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool)
        seen = seen if left < 0 else seen.triu(-left)
        seen = seen if right < 0 else seen.tril(right)
        out = scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True)
        expected.append(out.transpose(0, 1))
    found = call(states(), window_size=window, scale=scale)
    torch.testing.assert_close(found, torch.cat(expected))


@pytest.mark.parametrize(
    "wrong",
    [
        {"where": borders(torch.int64)},
        {"where": borders()[:-1]},
        {"where": borders()[1:]},
        {"longest": LONGEST + 1},
        {"longest": torch.tensor(LONGEST)},
        {"window_size": (-2, 0)},
        {"given": states(heads=3)},
        {"given": [*states()[:2], states()[2][..., :2]]},
        {"given": [*states()[:2], states()[2].float()]},
    ],
)
def test_what_torch_does_not_document_is_refused(wrong):
    with pytest.raises(AssertionError):
        call(**{"given": states()} | wrong)


def test_shared_heads_have_to_be_asked_for():
    with pytest.raises(AssertionError):
        call(states(), enable_gqa=False)


def test_its_arguments_are_those_of_torch():
    theirs = inspect.signature(varlen.varlen_attn).parameters
    for name, ours in inspect.signature(varlen_attn).parameters.items():
        assert (theirs[name].kind, theirs[name].default) == (ours.kind, ours.default)
