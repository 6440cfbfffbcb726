"""Base and adapter side by side, question by question, from the transcripts of an evaluation."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.report.failures import reason

LETTERS = 4_000
"""Of one output: what is longer is cut in the report, with a mark."""
ROOM = 64_000_000
"""Letters of all outputs together: a page with more is slow to open, or does not open at all."""
GIVES_WAY = ("both right", "both wrong", "won", "lost")
"""Whose outputs are left out first where there is no room for all."""
WRONG_FIRST = ("lost", "both wrong", "won", "both right")
EXAMPLES = 3


@dataclass(frozen=True)
class Pair:
    """A question and the answers of both models; `outcome` is won, lost, both right or both wrong.

    The `turns` of both sides are None where the page has no room for them.
    """

    outcome: str
    facts: dict[str, Any]

    @property
    def characters(self) -> int:
        """The number of characters in all turns of both models."""
        turns = (turn for side in ("base", "adapter") for turn in self.facts[side]["turns"])
        return sum(len(turn["said"]) + len(turn["heard"]) for turn in turns)

    def omission(self) -> int:
        """Forget the turns; return how many characters that were."""
        characters = self.characters
        for side in ("base", "adapter"):
            self.facts[side]["turns"] = None
        return characters


def read_pairs(folder: Path, *, room: int = ROOM) -> list[Pair]:
    """The questions that both models answered; empty without transcripts.

    At most ``room`` characters of transcripts are in memory, for any number of questions.
    """
    places = {_question(episode): at for at, episode in _episodes(folder / "base.jsonl")}
    if not places:
        return []
    pairs: list[Pair] = []
    whole: dict[str, list[Pair]] = {outcome: [] for outcome in GIVES_WAY}
    characters = 0
    with (folder / "base.jsonl").open("rb") as base:
        for _, adapter in _episodes(folder / "adapter.jsonl"):
            at = places.get(_question(adapter))
            if at is None:
                continue
            base.seek(at)
            pair = _pair(json.loads(base.readline()), adapter)
            pairs.append(pair)
            whole[pair.outcome].append(pair)
            characters += pair.characters
            while characters > room:
                characters -= next(filter(None, whole.values())).pop().omission()
    return pairs


def examples(pairs: Sequence[Pair]) -> tuple[list[int], list[int]]:
    """Return the positions of the best and of the worst examples, of different families where there are.

    Best are those that only the adapter answered right, worst those that only the base did, then those
    that neither did.
    """
    best, worst = (
        sorted(
            (n for n, pair in enumerate(pairs) if pair.outcome in outcomes),
            key=lambda n: outcomes.index(pairs[n].outcome),
        )
        for outcomes in (("won",), ("lost", "both wrong"))
    )
    return _varied(best, pairs), _varied(worst, pairs)


def _varied(places: Sequence[int], pairs: Sequence[Pair]) -> list[int]:
    first = {(pairs[n].outcome, pairs[n].facts["family"]): n for n in reversed(places)}
    chosen = [n for n in places if n in first.values()][:EXAMPLES]
    rest = [n for n in places if n not in chosen]
    return [*chosen, *rest][:EXAMPLES]


def _episodes(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Where each begins, in bytes. Complete lines only: an evaluation may be writing the file."""
    try:
        file = path.open("rb")
    except OSError:
        return
    at = 0
    with file:
        for line in file:
            start, at = at, at + len(line)
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, dict) and found.get("traces") and "question" in found:
                yield start, found


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
    right = _right(episode)
    return {
        "right": right,
        "reason": "" if right else reason(episode),
        "why": ": ".join(filter(None, (verdict.get("rule"), verdict.get("detail")))),
        "turns": [
            {
                "said": _cut(turn.get("reply")),
                "heard": _cut(turn.get("feedback") or _output(turn)),
                "answer": turn.get("answer") if turn.get("submitted") else None,
                "submitted": bool(turn.get("submitted")),
            }
            for turn in trace.get("turns", [])
        ],
    }


def _output(turn: dict[str, Any]) -> str:
    return "\n".join(filter(None, (turn.get("stdout"), turn.get("stderr"))))


def _cut(text: object) -> str:
    whole = text if isinstance(text, str) else ""
    return whole if len(whole) <= LETTERS else whole[:LETTERS] + f" … ({len(whole):,} characters)"
