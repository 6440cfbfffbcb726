import pytest

from trainer.contract.sizing.fit_cpu import MOST, fit_cpu, need
from trainer.contract.sizing.memory import Architecture

GB = 10**9
SMOLLM2 = Architecture(
    hidden=576, layers=30, heads=9, kv_heads=3, head_dim=64, ffn=1536, vocab=49152, tied=True
)


def test_what_is_alive_is_what_torch_saves():
    """1,207 KB a token in fp32: storages that autograd saved in a forward pass of this shape, rank 8."""
    empty, full = (need(SMOLLM2, "fp32", 8, 0, many, held=1.0) for many in (0, 760))
    alive = (full.activations - empty.activations) / 760
    assert alive == pytest.approx(1_207_000, rel=0.05)


@pytest.mark.parametrize(("tokens", "anonymous"), [(755, 2.70), (2_280, 7.91)])
def test_the_prediction_is_no_less_than_what_was_measured(tokens, anonymous):
    """RssAnon of the trainer in a step, less that before the weights: which were mapped from their file."""
    found = need(SMOLLM2, "fp32", 8, 0, tokens)
    predicted = (found.total - found.weights) / GB
    assert anonymous < predicted < 1.5 * anonymous


def test_a_machine_of_6_gb_trains_the_row_that_killed_it():
    """A model of 135M parameters and rows of 912 tokens: micro-batches of 16,384 tokens were killed."""
    found = fit_cpu(SMOLLM2, free_bytes=5 * GB, rank=32, longest=912, precision="fp32")
    assert found.fits
    assert 912 <= found.pass_tokens <= MOST
    assert found.need.total < 5 * GB


def test_more_memory_makes_no_longer_micro_batches_and_less_recomputes():
    plenty = fit_cpu(SMOLLM2, free_bytes=200 * GB, rank=32, longest=912, precision="fp32")
    assert (plenty.pass_tokens, plenty.every) == (MOST, 0)
    little = fit_cpu(SMOLLM2, free_bytes=3 * GB, rank=32, longest=912, precision="fp32")
    assert (little.every, little.fits) == (1, True)
    least = fit_cpu(SMOLLM2, free_bytes=GB // 2, rank=32, longest=912, precision="fp32")
    assert not least.fits


def test_a_longer_row_than_most_is_a_micro_batch_of_its_own():
    found = fit_cpu(SMOLLM2, free_bytes=100 * GB, rank=32, longest=5_000, precision="fp32")
    assert (found.pass_tokens, found.fits) == (5_000, True)
