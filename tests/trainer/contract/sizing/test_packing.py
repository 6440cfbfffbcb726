from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.sizing.packing import first_fit, share


@given(lengths=st.lists(st.integers(1, 50), max_size=60), tokens=st.integers(1, 100))
def test_every_row_is_in_one_pass_that_is_not_too_long(lengths, tokens):
    groups = first_fit(lengths, tokens)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[index] for index in group) <= tokens


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_no_two_passes_could_be_one(lengths):
    groups = first_fit(lengths, 50)
    sums = sorted(sum(lengths[index] for index in group) for group in groups)
    assert len(sums) == 1 or sums[0] + sums[1] > 50


def test_long_rows_come_first_so_that_short_ones_fill_what_they_leave():
    assert first_fit([4, 4, 6, 6], 10) == [[2, 0], [3, 1]]
    assert first_fit([3, 7, 20], 10) == [[2], [1, 0]]
    assert share([1, 1, 2, 2, 4], 2) == [[0, 4], [1, 2, 3]]


@given(lengths=st.lists(st.integers(1, 50), max_size=40), processes=st.integers(1, 9))
def test_rows_are_divided_evenly_and_in_order(lengths, processes):
    shares = share(lengths, processes)
    assert len(shares) == processes
    assert sorted(index for part in shares for index in part) == list(range(len(lengths)))
    assert all(part == sorted(part) for part in shares)
    tokens = [sum(lengths[index] for index in part) for part in shares]
    # Whoever has most had, before its last row, no more than the others.
    assert max(tokens) - min(tokens) <= max(lengths, default=0)
    assert share(lengths, 1) == [list(range(len(lengths)))]
