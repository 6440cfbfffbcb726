"""Charts as inline SVG; every coordinate is computed by hand from the values that are drawn."""

import re
from xml.etree import ElementTree as ET

import pytest

from launcher.report.charts import POINTS, Line, bars, changes, columns, curves

FORGED = "</svg><script>alert(1)</script>"


def drawn(markup: str, kind: str) -> list[str]:
    """The path commands of a class, from well-formed markup."""
    root = ET.fromstring(markup)
    return [path.get("d", "") for path in root.iter("path") if path.get("class") == kind]


def ticks(markup: str) -> list[str]:
    found = re.search(r'class="ys"[^>]*>(.*?)</div>', markup)
    assert found
    return re.findall(r"<span>(.*?)</span>", found[1])


def test_a_curve_begins_at_zero_and_leaves_gaps_where_a_value_is_unknown():
    loss = curves("Loss", [Line("training", "other", [1, 2, 3], [3.0, 1.5, 1.0])])
    assert ticks(loss) == ["3", "2", "1", "0"]
    assert drawn(loss, "line other") == ["M0.00 0.00L50.00 50.00L100.00 66.67"]
    assert drawn(loss, "grid") == ["M0 0.00H100M0 33.33H100M0 66.67H100M0 100.00H100"]
    assert 'aria-label="Loss. training: 3 at step 1, 1 at step 3"' in loss
    use = curves("GPU", [Line("", "base", [1, 2, 3, 4], [50, None, 50, 100])])
    assert drawn(use, "line base") == ["M0.00 50.00M66.67 50.00L100.00 0.00"]


def test_a_logarithmic_axis_has_decades():
    found = curves("Loss", [Line("", "base", [0, 1, 2], [10.0, 1.0, 0.1])], log=True)
    assert ticks(found) == ["10", "1", "0.1"]
    assert drawn(found, "line base") == ["M0.00 0.00L50.00 50.00L100.00 100.00"]


def test_a_single_value_is_a_point_and_a_constant_has_an_axis():
    found = curves("Rate", [Line("", "base", [7], [2e-4])])
    assert drawn(found, "dot base") == ["M0.00 0.00h0"]
    assert ticks(found) == ["0.0002", "0.00015", "0.0001", "5e-05", "0"]
    assert ticks(curves("Rate", [Line("", "base", [1, 2], [0.0, 0.0])]))[-1] == "0"


def test_a_long_curve_keeps_its_extremes_and_its_ends():
    values = [1.0] * 100_000
    values[54_321], values[77_777] = 9.0, 0.0
    (path,) = drawn(curves("Loss", [Line("", "base", range(100_000), values)]), "line base")
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    assert len(heights) <= POINTS + 2
    assert (min(heights), max(heights)) == (10.0, 100.0)  # 9 of 10, and zero
    assert path.startswith("M0.00 ")
    assert "L100.00 " in path


def test_a_histogram_has_a_bar_of_the_right_height_for_each_bin():
    found = ET.fromstring(columns("Rows", [(50, 3), (100, 7)], x="tokens"))
    assert [(bar.get("y"), bar.get("height")) for bar in found.iter("rect")] == [
        ("62.50", "37.50"), ("12.50", "87.50"),
    ]  # fmt: skip


def test_changes_go_from_base_to_adapter_the_highest_base_first():
    found = changes("Loss", [(2.0, 1.0), (4.0, 5.0)], about="one went up")
    assert ticks(found) == ["6", "4", "2", "0"]
    assert drawn(found, "line bad") == ["M25.00 33.33V16.67"]
    assert drawn(found, "line good") == ["M75.00 66.67V83.33"]
    assert drawn(found, "dot adapter") == ["M25.00 16.67h0M75.00 83.33h0"]
    assert "one line for each of 2 held-out rows" in found


def test_bars_have_their_share_and_interval_and_words():
    found = bars([("base", 0.25, (0.0, 0.5)), ("adapter", 0.75, None)])
    root = ET.fromstring(found)
    assert [bar.get("width") for bar in root.iter("rect")] == ["25.00", "75.00"]
    assert drawn(found, "interval") == ["M0.00 6H50.00"]
    assert root.get("aria-label") == "base 25%, 95% interval 0% to 50%; adapter 75%"


@pytest.mark.parametrize(
    "found",
    [
        curves(FORGED, [Line(FORGED, "base", [1], [1.0])], x=FORGED),
        columns(FORGED, [(1, 1)], x=FORGED),
        changes(FORGED, [(1.0, 1.0)], about=FORGED),
    ],
)
def test_a_title_stays_text(found):
    assert "<script" not in found
    assert found.count("<svg") == found.count("</svg>") == 1
