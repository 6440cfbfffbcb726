"""report.html and quality.html in a real browser: they fit, nothing complains, and filters work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from datagen.dataset.card import page as quality_page
from datagen.dataset.facts import measure
from launcher import report
from launcher.report import transcripts
from tests.datagen.dataset.test_card import EPISODES
from tests.launcher.report.made import make_run
from tests.system.browser import PHONE, WIDE, Page, chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as address:
        if address is None:
            pytest.skip("browser tests: no chromium; run: apt-get install chromium")
        yield address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return report.write(make_run(tmp_path / "run", questions=30))


SHOWN = "document.querySelectorAll('#list li').length"
PRESS = "[...document.querySelectorAll('#filters button')].find(b => b.textContent.startsWith('{}')).click()"
SEARCH = """(() => {
    const field = document.getElementById('search');
    field.value = 'question 5?';
    field.dispatchEvent(new Event('input'));
})()"""
OPEN_ALL = """for (const one of document.querySelectorAll('details')) {
    one.open = true;
    one.dispatchEvent(new Event('toggle'));
}"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHARTS = (
    "[...document.querySelectorAll('.plot svg')].map(svg => svg.getBoundingClientRect().height)"
)
# Where parts of a chart lie outside of its box, by more than the half of a point.
OUTSIDE = """[...document.querySelectorAll('.plot svg')].flatMap(svg => {
    const box = svg.getBoundingClientRect();
    return [...svg.children].filter(part => {
        const own = part.getBoundingClientRect();
        return own.height && (own.bottom > box.bottom + 4.5 || own.top < box.top - 4.5);
    });
}).length"""
# The lowest contrast of a text with the page below it, as WCAG 2.2 computes it.
CONTRAST = """(() => {
    const light = (c) => {
        const [r, g, b] = c.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = light(getComputedStyle(document.documentElement).backgroundColor);
    const texts = [...document.querySelectorAll('body *')].filter(e => e.childNodes.length
        && !['SCRIPT', 'STYLE', 'BUTTON', 'MARK'].includes(e.tagName));
    return Math.min(...texts.map(e => {
        const [low, high] = [ground, light(getComputedStyle(e).color)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    }));
})()"""


def test_it_opens_filters_and_searches_without_a_complaint(browser: str, path: Path) -> None:
    page = Page(browser)
    found = page.visit(
        path,
        width=WIDE,
        ask=[
            "document.title",
            "document.querySelector('h1').textContent",
            "[...document.querySelectorAll('#best li, #worst li')].length",
            SHOWN,
            PRESS.format("lost"),
            SHOWN,
            SEARCH,
            SHOWN,
            PRESS.format("won"),
            SHOWN,
        ],
    )
    assert found[0] == "run-1"
    assert found[1].startswith("The adapter is better than its base")
    assert found[2] == 6
    assert [found[3], found[5], found[7], found[9]] == [20, 8, 2, 0]
    assert page.complaints == []
    assert page.requests == [path.as_uri()]  # nothing else is loaded


def test_base_and_adapter_stand_side_by_side(browser: str, path: Path) -> None:
    sides = "[...document.querySelectorAll('#best .two')[0].querySelectorAll('h4')].map(h => h.textContent).join()"
    page = Page(browser)
    found = page.visit(
        path,
        width=WIDE,
        ask=[
            OPEN_ALL,
            sides,
            "document.querySelectorAll('main b').length",
            "document.querySelector('#best .two').textContent",
        ],
    )
    assert found[1] == "base: wrong value,adapter: right"
    assert found[2] == 0  # markup in an answer stays text
    assert "outputprintedsubmitted 7" in found[3]
    assert page.complaints == []


def test_where_the_page_has_no_room_for_an_answer_it_says_where_that_lies(
    browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts.read_pairs, "__kwdefaults__", {"room": 0})
    page = Page(browser)
    found = page.visit(
        report.write(make_run(tmp_path / "run")),
        width=WIDE,
        ask=[OPEN_ALL, "document.querySelector('#list .two').textContent", SHOWN],
    )
    assert found[1].count("see evaluation/ in the run folder") == 2
    assert found[2] == 4
    assert page.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (WIDE, "dark")])
def test_it_fits_the_screen_and_every_text_has_contrast(
    browser: str, path: Path, width: int, scheme: str
) -> None:
    page = Page(browser)
    _, overflow, heights, outside, contrast = page.visit(
        path, width=width, scheme=scheme, ask=[OPEN_ALL, OVERFLOW, CHARTS, OUTSIDE, CONTRAST]
    )
    assert overflow <= 0
    assert {*heights} == {112, 208}  # 7 and 13 rem, as the style says
    assert outside == 0
    assert contrast >= 4.5
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_quality_page_fits_a_phone(browser: str, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "quality.html"
    path.write_text(quality_page(measure(EPISODES), name="mine"))
    page = Page(browser)
    overflow, contrast = page.visit(path, width=PHONE, scheme=scheme, ask=[OVERFLOW, CONTRAST])
    assert overflow <= 0
    assert contrast >= 4.5
    assert page.complaints == []
    assert page.requests == [path.as_uri()]
