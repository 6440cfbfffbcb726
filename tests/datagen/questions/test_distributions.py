import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from datagen.questions import arithmetic
from datagen.questions.distributions import chi2_tail, f_tail, normal_tail, t_two_sided
from datagen.questions.family import Unasked

DEGREES = st.floats(1, 500)
NUMBERS = st.lists(st.integers(-1000, 1000).map(float), min_size=5, max_size=40)


@given(st.floats(-8, 8))
def test_normal(z: float):
    assert normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-9, abs=1e-15)


@given(st.floats(-30, 30), DEGREES)
def test_student(t: float, df: float):
    assert t_two_sided(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8, abs=1e-12)


@given(st.floats(0, 200), st.integers(1, 40), DEGREES)
def test_f(f: float, above: int, below: float):
    assert f_tail(f, above, below) == pytest.approx(
        stats.f.sf(f, above, below), rel=1e-7, abs=1e-10
    )


@given(st.floats(0, 300), st.integers(1, 80))
def test_chi_squared(x: float, df: int):
    assert chi2_tail(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-8, abs=1e-12)


@given(NUMBERS, st.integers(0, 100))
def test_quantiles_are_those_of_numpy(values: list[float], percent: int):
    import numpy as np

    for kind in ("linear", "lower", "higher"):
        expected = np.quantile(values, percent / 100, method=kind)
        assert arithmetic.quantile(values, percent / 100, kind) == pytest.approx(expected)


@given(NUMBERS)
def test_ranks_are_those_of_scipy(values: list[float]):
    assert arithmetic.ranks(values) == stats.rankdata(values).tolist()


@given(NUMBERS, st.integers(0, 1))
def test_the_variance_is_that_of_numpy(values: list[float], ddof: int):
    import numpy as np

    expected = np.var(values, ddof=ddof)
    assert arithmetic.variance(values, ddof) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_system_is_solved_and_a_singular_one_refused():
    assert arithmetic.solve([[0, 2], [3, 1]], [4, 5]) == pytest.approx([1, 2])
    with pytest.raises(Unasked):
        arithmetic.solve([[1, 2], [2, 4]], [1, 2])


def test_ties_and_near_ties_have_no_top():
    assert arithmetic.top({"a": 1.0, "b": 3.0, "c": 2.0}, 2) == ["b", "c"]
    assert arithmetic.top({"a": 1.0, "b": 3.0, "c": 1.0}) == ["b"]
    for scores in ({"a": 1.0, "b": 1.0}, {"a": 0.3, "b": 0.1 + 0.2}):
        with pytest.raises(Unasked, match="tie"):
            arithmetic.top(scores)
    with pytest.raises(Unasked, match="too few groups"):
        arithmetic.top({"a": 1.0})


def test_a_computed_limit_decides_nothing_by_its_last_bits():
    arithmetic.border([0.3, 1.0], 0.3)
    with pytest.raises(Unasked, match="border"):
        arithmetic.border([0.3], math.fsum([0.1, 0.2]) + 1e-16)
