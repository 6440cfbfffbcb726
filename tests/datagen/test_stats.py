from dataclasses import replace

import pytest

from datagen.stats import Comparison, compare, wilson


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
        n=20, base=0.3, adapter=0.65, difference=0.35, mcnemar_p=p, wins=9, losses=2
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
