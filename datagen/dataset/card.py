"""The dataset card (README.md) and the quality page (quality.html) of a file of episodes."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from datagen.dataset.facts import Quality
from trainer.contract.command.crash_safe_files import write_whole

PAGES = Path(__file__).parent / "pages"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BARS = 40
# Of `rejected`: see judge.agreement.rejection_category.
REASONS = {
    "no submit": "the code did not submit an answer",
    "crash": "the code ended in an error",
    "wrong": "the answer is not the truth",
    "disagreement": "some attempts agree with the one that saw the hint, the others with no other",
    "no majority": "no attempt agrees with the one that saw the hint",
    "hint necessary": "attempts without the hint agree on another answer",
    "too hard": "every attempt has a different answer",
    "ambiguous": "attempts agree on two different answers",
}


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
    return _render(
        "quality.html.j2",
        q=quality,
        name=name,
        groups={
            group: sorted(quality.groups[group].items(), key=lambda item: -item[1].asked)
            for group in ("source", "difficulty", "answer type", "table", "family")
        },
        turns=sorted(quality.turns.items()),
        most_turns=max(quality.turns.values(), default=0),
        reasons=REASONS,
        bars=BARS,
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


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    pages.filters["json"] = partial(json.dumps, ensure_ascii=False)
    return pages.get_template(template).render(**values)
