from trainer.data.proof_rows import MOST, PAST, choose


def test_the_longest_row_and_the_shortest_of_the_first_are_taken():
    lengths = [40, 30, 20, 10, 50, 5] + [7] * 100 + [300]
    assert choose(lengths, 0) == [(106, 300), (5, 5), (6, 7), (7, 7)]


def test_a_long_row_is_cut_behind_its_window():
    assert choose([5000, 10], 0)[0] == (0, MOST)
    assert choose([5000, 10], 32)[0] == (0, MOST)
    assert choose([5000, 10], 2048)[0] == (0, 2048 + PAST)
    assert choose([2100, 10], 2048)[0] == (0, 2100)
    assert choose([5000, 10], 8192)[0] == (0, MOST)


def test_one_row_is_enough():
    assert choose([9], 0) == [(0, 9)]
