import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.sizing.fit import LEAST, MOST, SHARE, fit
from trainer.contract.sizing.memory import KNOWN

GB = 10**9
QWEN3B, QWEN7B, LLAMA3B = KNOWN.values()


@pytest.mark.parametrize(
    ("model", "card", "precision", "every"),
    [
        (QWEN3B, 24, "bf16", 2),
        (LLAMA3B, 24, "bf16", 2),
        (QWEN3B, 16, "bf16", 1),
        (QWEN7B, 16, "nf4", 1),
        # By hand: 15.2 GB weights, 1.3 adapter and its optimizer, 1.5 activations, 0.3 head, 1.0 context.
        (QWEN7B, 24, "bf16", 1),
        (QWEN7B, 40, "bf16", 2),
        # 15.2 weights, 1.3 adapter, 24.5 saved and 0.4 at the loss head of 4,096 tokens, and 7% slack.
        (QWEN7B, 48, "bf16", 0),
        (QWEN7B, 80, "bf16", 0),
    ],
)
def test_what_is_chosen_for_cards_people_have(model, card, precision, every):
    found = fit(model, card_bytes=card * GB, rank=32, longest=2048)
    assert (found.precision, found.every, found.fits) == (precision, every, True)


def test_more_memory_means_less_recomputation():
    every = [fit(QWEN3B, card_bytes=gb * GB, rank=32, longest=4096).every for gb in (16, 24, 80)]
    assert every[-1] == 0
    assert every == sorted(every, key=[1, 2, 0].index)


@given(
    card=st.integers(4, 200),
    longest=st.integers(1, 40_000),
    rank=st.integers(1, 128),
    model=st.sampled_from([*KNOWN.values()]),
)
def test_what_is_said_to_fit_does_and_holds_the_longest_row(card, longest, rank, model):
    found = fit(model, card_bytes=card * GB, rank=rank, longest=longest)
    assert found.pass_tokens >= longest
    if found.fits:
        assert found.need.total <= SHARE * card * GB
    if found.pass_tokens > max(longest, LEAST):
        assert found.pass_tokens <= MOST


def test_what_does_not_fit_is_said():
    assert not fit(QWEN7B, card_bytes=4 * GB, rank=32, longest=4096).fits
    assert not fit(QWEN7B, card_bytes=12 * GB, rank=32, longest=512, precision="bf16").fits


def test_cards_that_divide_the_weights_hold_what_none_holds_whole():
    alone = fit(QWEN7B, card_bytes=16 * GB, rank=16, longest=2048, precision="bf16")
    four = fit(QWEN7B, card_bytes=16 * GB, rank=16, longest=2048, shards=4)
    assert (alone.fits, four.fits, four.precision) == (False, True, "bf16")
