import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.sizing import evaluations


@pytest.mark.parametrize(
    ("rows", "share", "count"),
    [(23, 0.9, 0), (24, 0.05, 8), (199, 0.05, 9), (5000, 0.05, 128), (160, 0.0, 0), (100, 0.5, 50)],
)
def test_how_many_rows_are_held_out(rows, share, count):
    assert evaluations.count(rows, share=share) == count


@given(steps=st.integers(1, 100_000))
def test_the_loss_is_measured_as_the_loop_comes_to_it(steps):
    counted = sum(
        step % evaluations.every(steps) == 0 or step == steps for step in range(1, steps + 1)
    )
    assert evaluations.times(steps) == 1 + counted
    assert counted <= evaluations.EVALUATIONS


@given(steps=st.integers(1, 100_000))
def test_what_is_kept_to_choose_from_is_little_spaced_and_measured(steps):
    kept = sorted(evaluations.spaced(steps))
    assert len(kept) == min(evaluations.SPACED, evaluations.times(steps) - 1)
    assert kept[-1] == steps
    assert all(step % evaluations.every(steps) == 0 or step == steps for step in kept)
    if steps >= 100:
        gaps = [b - a for a, b in zip([0, *kept], kept, strict=False)]
        assert max(gaps) <= 0.4 * steps
