import pytest

from launcher.view.amount_text import compared_lines, size


def test_base_against_adapter_is_one_line_also_when_it_got_worse():
    found = {"n": 40, "base": 0.5, "adapter": 0.25, "difference": -0.25, "more": {}}
    assert compared_lines(found) == ["tasks    0.500 -> 0.250 (-0.250), 40 questions answered"]
    assert compared_lines({"n": 40, "base": None}) == []


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_as_people_write_them(count, text):
    assert size(count) == text
