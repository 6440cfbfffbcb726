"""Base and adapter side by side, question by question, from the transcripts of an evaluation."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LETTERS = 4_000
"""Of one output: what is longer is cut in the report, with a mark."""


@dataclass(frozen=True)
class Pair:
    """A question, and how each model fared; `outcome` is won, lost, both right or both wrong."""

    outcome: str
    facts: dict[str, Any]


def read_pairs(folder: Path) -> list[Pair]:
    """The questions that both models were asked; none where there are no transcripts."""
    base = {_question(episode): episode for episode in _episodes(folder / "base.jsonl")}
    return [
        _pair(base[_question(episode)], episode)
        for episode in _episodes(folder / "adapter.jsonl")
        if _question(episode) in base
    ]


def _episodes(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines only: an evaluation may be at work on the file."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("traces") and "question" in found:
            yield found


def _question(episode: dict[str, Any]) -> str:
    return str(episode["question"].get("id"))


def _pair(base: dict[str, Any], adapter: dict[str, Any]) -> Pair:
    question = adapter["question"]
    before, after = _right(base), _right(adapter)
    outcome = {
        (False, True): "won",
        (True, False): "lost",
        (True, True): "both right",
        (False, False): "both wrong",
    }[before, after]
    return Pair(
        outcome,
        {
            "text": question.get("text"),
            "table": " + ".join(str(table.get("name")) for table in adapter.get("tables", [])),
            "family": question.get("family"),
            "difficulty": question.get("difficulty"),
            "truth": question.get("truth"),
            "outcome": outcome,
            "base": _side(base),
            "adapter": _side(adapter),
        },
    )


def _right(episode: dict[str, Any]) -> bool:
    return bool(episode.get("verdict", {}).get("verified"))


def _side(episode: dict[str, Any]) -> dict[str, Any]:
    trace, verdict = episode["traces"][-1], episode.get("verdict", {})
    return {
        "right": _right(episode),
        "why": " ".join(filter(None, (verdict.get("rule"), verdict.get("detail")))),
        "turns": [
            {
                "said": _cut(turn.get("reply")),
                "heard": _cut(turn.get("feedback")),
                "answer": turn.get("answer") if turn.get("submitted") else None,
                "submitted": bool(turn.get("submitted")),
            }
            for turn in trace.get("turns", [])
        ],
    }


def _cut(text: object) -> str:
    whole = text if isinstance(text, str) else ""
    return whole if len(whole) <= LETTERS else whole[:LETTERS] + f" … ({len(whole):,} characters)"
