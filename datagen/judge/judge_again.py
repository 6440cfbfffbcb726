"""Saved episodes judged again: the same answers, today's judge, no model and no sandbox."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datagen.episode import Episode
from datagen.judge.judge_attempts import judge_against_gold, judge_against_truth, judge_attempt
from datagen.prompts.render import TURN_LIMIT


@dataclass
class RejudgedCounts:
    """What judging again came to; `changes` has a line for each episode whose verdict is another.

    `left` counts those that cannot be judged: imported ones without truth or gold attempt.
    """

    episodes: int = 0
    left: int = 0
    before: int = 0
    now: int = 0
    attempts_changed: int = 0
    changes: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, Any]:
        """The same counts as JSON values."""
        return asdict(self) | {"rejected": dict(self.rejected)}


def judge_all_again(episodes: Iterable[Episode], tally: RejudgedCounts) -> Iterator[Episode]:
    """Each episode with today's verdict, counted in `tally`.

    An episode with too few attempts to decide is rejected, because none can be made here.
    """
    for episode in episodes:
        again = judge_again(episode)
        tally.episodes += 1
        tally.left += again is None
        again = again or episode
        tally.before += episode.verdict.verified
        tally.now += again.verdict.verified
        pairs = zip(episode.traces, again.traces, strict=True)
        tally.attempts_changed += sum(old.agrees != new.agrees for old, new in pairs)
        if again.verdict.verified != episode.verdict.verified:
            word = "verified now" if again.verdict.verified else "no longer verified"
            why = "; ".join(filter(None, (again.verdict.rule, again.verdict.detail)))
            tally.changes.append(f"{episode.id}: {word} ({why}): {episode.question.text}")
        if not again.verdict.verified:
            tally.rejected[again.verdict.category or again.verdict.rule] += 1
        yield again


def judge_again(episode: Episode) -> Episode | None:
    """Return the episode with today's verdict, or None without a known answer and a gold attempt."""
    question, traces = episode.question, episode.traces
    limit = TURN_LIMIT[episode.provenance.prompt]
    try:
        if not traces:
            return None
        if question.known:
            found, verdict = judge_against_truth(question, traces, limit=limit)
        elif traces[0].hinted:
            question, found, verdict = judge_against_gold(question, traces, limit=limit)
        else:
            return None
    except ValueError:  # the truth is not of the question's form
        return None
    audit = episode.audit
    if audit is not None and verdict.verified:
        agrees = bool(judge_attempt(audit.trace, question).agrees)
        audit = audit.model_copy(update={"agrees": agrees})
    changed = {"question": question, "traces": found, "verdict": verdict, "audit": audit}
    return episode.model_copy(update=changed)


def with_moved_tables(episode: Episode, old: Path, new: Path) -> Episode:
    """The episode for a file in another folder: its tables' paths are relative to that."""
    tables = [
        table.model_copy(update={"path": os.path.relpath(old / table.path, new)})
        for table in episode.tables
    ]
    return episode.model_copy(update={"tables": tables})
