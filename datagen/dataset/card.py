"""The dataset card (README.md) and the quality page (quality.html) of a file of episodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from datagen.dataset.facts import Quality, Yield
from trainer.contract.command.crash_safe_files import write_whole

PAGES = Path(__file__).parent / "pages"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BARS = 40


def write_card(quality: Quality, folder: Path, *, name: str, licence: str | None) -> list[Path]:
    """Write README.md and quality.html into `folder`; the page is one file and needs no network."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_whole(folder / "README.md", card(quality, name=name, licence=licence)),
        write_whole(folder / "quality.html", page(quality, name=name)),
    ]


def card(quality: Quality, *, name: str, licence: str | None) -> str:
    """The card as Markdown with the hub's metadata block."""
    asked = quality.total.asked
    size = next((label for limit, label in SIZES if asked < limit), "n>1M")
    return _render(
        "card.md.j2",
        q=quality,
        name=name,
        licence=licence,
        size=size,
        origins=[(label, counts) for label, counts in _origins(quality) if counts],
    )


def page(quality: Quality, *, name: str) -> str:
    """The quality page as HTML."""
    import json

    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    charts = _charts(quality)
    specs = {id_: spec for _, id_, spec in charts}
    return _render(
        "quality.html.j2",
        q=quality,
        name=name,
        charts=charts,
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - a library's own script
        specs=Markup(json.dumps(specs).replace("<", "\\u003c")),  # noqa: S704 - no tag can open in it
    )


def _origins(quality: Quality) -> list[tuple[str, Counter[str]]]:
    return [
        ("model", quality.models),
        ("provider", quality.providers),
        ("model's licence", quality.licences),
        ("sampling", quality.sampling),
        ("prompt", quality.prompts),
        ("sandbox", quality.levels),
        ("versions", quality.versions),
    ]


def _charts(quality: Quality) -> list[tuple[str, str, dict[str, Any]]]:
    """(heading, element id, plotly figure) for each chart that has something to show."""
    charts = [
        (f"Yield by {group}", f"by-{group.replace(' ', '-')}", _yields(quality.groups[group]))
        for group in ("source", "difficulty", "answer type", "table")
    ]
    turns = sorted(quality.turns.items())
    charts.append(
        (
            "Turns of right attempts",
            "turns",
            {
                "data": [{"type": "bar", "x": [k for k, _ in turns], "y": [v for _, v in turns]}],
                "layout": {"height": 300, "xaxis": {"title": {"text": "turns"}, "dtick": 1}},
            },
        )
    )
    if quality.rejected:
        charts.append(("Not verified, by reason", "rejected", _bars(quality.rejected)))
    return charts


def _yields(group: dict[str, Yield]) -> dict[str, Any]:
    """Verified and not verified, stacked, the largest groups first."""
    shown = sorted(group.items(), key=lambda item: item[1].asked)[-BARS:]
    names = [name for name, _ in shown]
    missed = [y.asked - y.verified for _, y in shown]
    return {
        "data": [
            {"type": "bar", "orientation": "h", "y": names, "x": values, "name": label}
            for label, values in (
                ("verified", [y.verified for _, y in shown]),
                ("not verified", missed),
            )
        ],
        "layout": {"barmode": "stack", **_height(len(shown))},
    }


def _bars(counts: Counter[str]) -> dict[str, Any]:
    shown = counts.most_common(BARS)[::-1]
    values = {"y": [name for name, _ in shown], "x": [n for _, n in shown]}
    return {
        "data": [{"type": "bar", "orientation": "h", **values}],
        "layout": _height(len(shown)),
    }


def _height(bars: int) -> dict[str, Any]:
    return {"height": 120 + 24 * bars, "yaxis": {"automargin": True}, "margin": {"t": 20}}


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return pages.get_template(template).render(**values)
