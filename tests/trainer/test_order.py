from hypothesis import given
from hypothesis import strategies as st

from trainer.order import Sampler, order

many_lengths = st.lists(st.integers(1, 500), max_size=300)


@given(lengths=many_lengths, batch=st.integers(1, 40), seed=st.integers(0, 9))
def test_every_row_comes_once(lengths, batch, seed):
    found = order(lengths, batch_size=batch, seed=seed, epoch=1)
    assert sorted(found) == list(range(len(lengths)))


def test_seed_and_epoch_decide_the_order():
    lengths = list(range(100))
    first = order(lengths, batch_size=8, seed=0, epoch=0)
    assert first == order(lengths, batch_size=8, seed=0, epoch=0)
    assert first != order(lengths, batch_size=8, seed=0, epoch=1)
    assert first != order(lengths, batch_size=8, seed=1, epoch=0)
    # Were seed and epoch summed, seed 0 in epoch 1 would repeat seed 1 in epoch 0.
    assert order(lengths, batch_size=8, seed=0, epoch=1) != order(
        lengths, batch_size=8, seed=1, epoch=0
    )


def test_batches_hold_rows_of_like_length():
    lengths = [(number * 37) % 256 + 1 for number in range(512)]
    found = order(lengths, batch_size=8, seed=0, epoch=0)
    batches = [[lengths[i] for i in found[s : s + 8]] for s in range(0, 512, 8)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded < 1.05 * sum(lengths)
    # Long batches do not all come first or last.
    longest = [max(batch) for batch in batches]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_the_sampler_follows_the_epoch():
    sampler = Sampler(list(range(20)), batch_size=4, seed=3)
    first = list(sampler)
    assert first == list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert len(sampler) == 20
