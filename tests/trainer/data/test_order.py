from hypothesis import given
from hypothesis import strategies as st

from trainer.data.order import Sampler, batches, order


@given(rows=st.integers(0, 300), batch=st.integers(1, 40), seed=st.integers(0, 9))
def test_every_row_comes_once_and_batches_are_whole_but_the_last(rows, batch, seed):
    found = batches(rows, batch_size=batch, seed=seed, epoch=1)
    assert sorted(row for group in found for row in group) == list(range(rows))
    assert all(len(group) == batch for group in found[:-1])


def test_seed_and_epoch_decide_the_order():
    first = order(100, seed=0, epoch=0)
    assert first == order(100, seed=0, epoch=0)
    assert first != order(100, seed=0, epoch=1)
    assert first != order(100, seed=1, epoch=0)
    # Were seed and epoch summed, seed 0 in epoch 1 would repeat seed 1 in epoch 0.
    assert order(100, seed=0, epoch=1) != order(100, seed=1, epoch=0)


def test_the_sampler_follows_the_epoch():
    sampler = Sampler(20, seed=3)
    first = list(sampler)
    assert first == list(sampler) == order(20, seed=3, epoch=0)
    sampler.set_epoch(1)
    assert list(sampler) == order(20, seed=3, epoch=1)
    assert len(sampler) == 20
