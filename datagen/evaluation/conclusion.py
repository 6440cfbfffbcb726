"""The verdict on a comparison, and notes on what limits it, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

GROUPS = {
    "families": "template family",
    "tables": "table",
    "difficulties": "difficulty",
    "sources": "source of questions",
    "answer_types": "type of answer",
}
ALPHA = 0.05


def verdict(found: Mapping[str, Any]) -> str:
    """Return one sentence: BETTER, WORSE or no significant difference."""
    first, second = found["names"]
    change = f"{found['difference']:+.3f}"
    if found["mcnemar_p"] < ALPHA:
        word = "BETTER" if found["difference"] > 0 else "WORSE"
        return f"{second} is {word} than {first} by {change}"
    smallest = found["smallest"]
    seen = (
        f"{found['n']} questions can show a difference of {smallest:.2f} or more"
        if smallest < 1
        else f"{found['n']} questions are too few to show any difference"
    )
    return f"no significant difference ({change}): {seen}"


def notes(found: Mapping[str, Any]) -> list[str]:
    """Return what limits the figures of a comparison or of one model's result."""
    return [*_pairing_notes(found), *_coverage_notes(found)]


def _pairing_notes(found: Mapping[str, Any]) -> Iterator[str]:
    if unpaired := found.get("unpaired"):
        yield f"{unpaired} answers are left out: only one of the two models answered those questions"
    if found.get("prompts_differ"):
        yield "the two models had different prompts: part of the difference may come from the prompts"


def _coverage_notes(found: Mapping[str, Any]) -> Iterator[str]:
    for group, word in GROUPS.items():
        if len(found[group]) == 1 and found["n"] > 1 and group != "sources":
            (name,) = found[group]
            yield f"all questions have the same {word} ({name}): the result does not cover others"
    if not found["reliable"] and found["clusters"] > 1:
        yield f"only {found['clusters']} tables: the interval is too narrow"
