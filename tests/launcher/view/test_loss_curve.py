import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.view.loss_curve import AXIS, curve, shortened

LOSSES = st.lists(st.floats(min_value=-1e6, max_value=1e6), max_size=300)


@given(LOSSES, st.integers(1, 120), st.integers(0, 12))
def test_a_curve_keeps_to_its_space(values, width, height):
    lines = curve(values, width=width, height=height)
    assert len(lines) == (height if values else 0)
    assert all(len(line) <= width for line in lines)


@given(LOSSES.filter(bool), st.integers(AXIS, 120), st.integers(1, 12))
def test_its_left_edge_is_straight(values, width, height):
    assert {line.index("|") for line in curve(values, width=width, height=height)} == {AXIS - 1}


@given(LOSSES.filter(bool), st.integers(1, 100))
def test_squeezing_keeps_order_length_and_mean(values, columns):
    points = shortened(values, columns)
    assert len(points) == min(len(values), columns)
    assert min(values) - 1e-6 <= min(points) <= max(points) <= max(values) + 1e-6


def test_a_falling_curve_falls():
    # sixteenths above the lowest: 15, 10, 5, 0; the lowest still shows
    lines = curve([4, 3, 2, 1], width=AXIS + 4, height=2)
    assert lines == ["      4 |█▃  ", "      1 |██▆▁"]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0]])
def test_a_flat_curve_is_drawn(values):
    assert "▁" in curve(values, width=20, height=3)[-1]
