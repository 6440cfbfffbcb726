from dataclasses import replace

import pytest

from datagen.evaluation.stats import (
    Comparison,
    clustered_interval,
    compare,
    pass_at_k,
    smallest_difference,
    wilson,
)


def outcomes(*, both: int, wins: int, losses: int, neither: int) -> tuple[list[bool], list[bool]]:
    base = [True] * both + [False] * wins + [True] * losses + [False] * neither
    adapter = [True] * (both + wins) + [False] * (losses + neither)
    return base, adapter


def test_compare_counts_pairs():
    found = compare(*outcomes(both=4, wins=9, losses=2, neither=5))
    # Exact: 2 * (1 + 11 + 55) / 2**11
    p = 134 / 2048
    assert found.mcnemar_p == pytest.approx(p)
    assert replace(found, mcnemar_p=p) == Comparison(
        n=20, base=0.3, adapter=0.65, difference=0.35, mcnemar_p=p, wins=9, losses=2, ties=9
    )


def test_compare_is_symmetric_in_p_and_signed_in_difference():
    base, adapter = outcomes(both=1, wins=40, losses=3, neither=60)
    there, back = compare(base, adapter), compare(adapter, base)
    assert there.mcnemar_p == pytest.approx(back.mcnemar_p)
    assert there.difference == -back.difference > 0
    assert there.mcnemar_p < 0.001


def test_no_difference_has_p_one():
    assert compare([True, False], [True, False]).mcnemar_p == 1.0
    assert compare([True, False], [False, True]).mcnemar_p == 1.0


@pytest.mark.parametrize(("base", "adapter"), [([], []), ([True], []), ([True], [True, False])])
def test_unpaired_outcomes_are_refused(base, adapter):
    with pytest.raises(ValueError, match="outcomes of the base against"):
        compare(base, adapter)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_published_intervals(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_wider_confidence_is_wider():
    assert wilson(5, 10, confidence=0.99)[0] < wilson(5, 10)[0]


def test_questions_of_one_table_count_as_one_when_they_go_together():
    """20 tables of 10 questions, all won in half of the tables: the mean of 20 draws, not of 200."""
    tables = [f"t{number // 10}" for number in range(200)]
    together = [float(number // 10 % 2) for number in range(200)]
    low, high = clustered_interval(together, tables) or (0, 0)
    # 0.5 +- 1.96 * sqrt(0.25 / 20) = 0.281, 0.719
    assert (low, high) == pytest.approx((0.28, 0.72), abs=0.03)
    apart = clustered_interval(together, [str(number) for number in range(200)]) or (0, 0)
    assert apart[1] - apart[0] < 0.4 * (high - low)


def test_one_table_has_no_interval_and_the_seed_decides():
    assert clustered_interval([1.0, 0.0], ["t", "t"]) is None
    values, tables = [0.0, 1.0, 1.0, 0.0, 1.0], ["a", "b", "c", "d", "e"]
    assert clustered_interval(values, tables, seed=1) == clustered_interval(values, tables, seed=1)


@pytest.mark.parametrize(
    ("n", "discordant", "expected"),
    # By hand for n = 200, d = 0.26: (1.96 sqrt(.26) + 0.8416 sqrt(.26 - .01)) / sqrt(200) = 0.1004
    [(200, 0.26, 0.1004), (800, 0.26, 0.0503)],
)
def test_the_smallest_difference_that_n_shows(n, discordant, expected):
    assert smallest_difference(n, discordant) == pytest.approx(expected, abs=5e-4)


def test_few_questions_show_no_difference():
    assert smallest_difference(5, 0.1) == 1.0
    assert smallest_difference(50) > smallest_difference(500)


def test_pass_at_k():
    assert pass_at_k(1, 2, 1) == 0.5
    assert pass_at_k(2, 5, 2) == pytest.approx(1 - 3 / 10)
    assert pass_at_k(4, 5, 2) == 1.0
    with pytest.raises(ValueError, match="pass@3 of 2"):
        pass_at_k(1, 2, 3)
