"""What is in a file of episodes, counted in one pass: the facts behind the dataset card and its page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from datagen.dataset.export import is_right
from datagen.episode import Episode, Question, Turn


@dataclass
class Yield:
    """The number of questions, and how many of them ended verified."""

    asked: int = 0
    verified: int = 0

    @property
    def share(self) -> float:
        return self.verified / self.asked if self.asked else 0.0

    def add(self, verified: bool) -> None:
        self.asked += 1
        self.verified += verified


class TableFacts(NamedTuple):
    """What the card shows of a table; `columns` is their number."""

    name: str
    rows: int
    columns: int


class Example(NamedTuple):
    """An episode as the page shows it: one attempt (the first right one, else the last), and all answers.

    An answer is JSON, or "none" where the attempt gave none.
    """

    question: Question
    table: str
    turns: list[Turn]
    answers: list[str]
    detail: str


EXAMPLES = 4
"""Of each difficulty, and of each reason not to verify an answer."""

GROUPS = ("source", "difficulty", "answer type", "table", "family")


@dataclass
class Quality:
    """Counts over episodes. Costs in US dollars, `seconds` of all attempts together.

    `groups` holds a Yield for each value of each of GROUPS; `rejected` the category of what was not
    verified; `examples` some verified ones of each difficulty, others of each reason; `turns` how many turns right attempts took; `repaired` right attempts that had a failed
    turn; `audit_disagreed` those of the `audited` that a second model answered otherwise.
    """

    total: Yield = field(default_factory=Yield)
    examples: dict[str, dict[str, list[Example]]] = field(
        default_factory=lambda: {"verified": {}, "not verified": {}}
    )
    groups: dict[str, dict[str, Yield]] = field(default_factory=lambda: {g: {} for g in GROUPS})
    rejected: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    right: int = 0
    repaired: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    models: Counter[str] = field(default_factory=Counter)
    providers: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    sampling: Counter[str] = field(default_factory=Counter)
    tables: dict[str, TableFacts] = field(default_factory=dict)
    same_question: int = 0
    audited: int = 0
    audit_disagreed: int = 0
    auditors: Counter[str] = field(default_factory=Counter)

    @property
    def cost_per_verified(self) -> float | None:
        return self.cost / self.total.verified if self.total.verified else None


def measure(episodes: Iterable[Episode]) -> Quality:
    """Count. Memory grows with the number of distinct questions' texts only by a hash each."""
    quality, seen = Quality(), set[int]()
    for episode in episodes:
        _count_question(quality, episode)
        _count_attempts(quality, episode)
        _count_origin(quality, episode)
        _keep_example(quality, episode)
        text = hash((episode.question.text, *(table.sha256 for table in episode.tables)))
        quality.same_question += text in seen
        seen.add(text)
    return quality


def _count_question(quality: Quality, episode: Episode) -> None:
    question, verified = episode.question, episode.verdict.verified
    quality.total.add(verified)
    values = {
        "source": question.source,
        "difficulty": question.difficulty,
        "answer type": question.answer_type,
        "table": " + ".join(table.name for table in episode.tables),
        "family": question.family,
    }
    for group, value in values.items():
        quality.groups[group].setdefault(value, Yield()).add(verified)
    if not verified:
        quality.rejected[episode.verdict.category or episode.verdict.rule] += 1
    quality.tables.update(
        (table.sha256, TableFacts(table.name, table.rows, len(table.columns)))
        for table in episode.tables
    )


def _keep_example(quality: Quality, episode: Episode) -> None:
    """Keep the first episodes, each of another family or table."""
    question, verdict = episode.question, episode.verdict
    group = quality.examples["verified" if verdict.verified else "not verified"]
    kept = group.setdefault(
        question.difficulty if verdict.verified else verdict.category or verdict.rule, []
    )
    table = " + ".join(table.name for table in episode.tables)
    alike = any((one.question.family, one.table) == (question.family, table) for one in kept)
    if alike or len(kept) == EXAMPLES or not episode.traces:
        return
    shown = next((t for t in episode.traces if is_right(episode, t)), episode.traces[-1])
    answers = [
        json.dumps(trace.answer, ensure_ascii=False) if trace.submitted else "none"
        for trace in episode.traces
    ]
    kept.append(Example(question, table, shown.turns, answers, verdict.detail))


def _count_attempts(quality: Quality, episode: Episode) -> None:
    for trace in episode.traces:
        quality.attempts += 1
        quality.cost += trace.cost
        quality.seconds += trace.seconds
        quality.prompt_tokens += trace.prompt_tokens
        quality.completion_tokens += trace.completion_tokens
        quality.providers.update(trace.providers)
        if is_right(episode, trace):
            quality.right += 1
            quality.turns[len(trace.turns)] += 1
            quality.repaired += any(turn.error for turn in trace.turns)


def _count_origin(quality: Quality, episode: Episode) -> None:
    origin = episode.provenance
    quality.models[origin.model] += 1
    quality.licences[origin.licence or "not stated"] += 1
    quality.prompts[f"{origin.prompt} {origin.prompt_sha256[:12]}"] += 1
    quality.levels[origin.sandbox_level] += 1
    quality.versions[", ".join(f"{k} {v}" for k, v in sorted(origin.versions.items()))] += 1
    if episode.audit is not None:
        quality.audited += 1
        quality.audit_disagreed += not episode.audit.agrees
        quality.auditors[episode.audit.model] += 1
    if origin.sampling:
        quality.sampling[", ".join(f"{k} {v}" for k, v in sorted(origin.sampling.items()))] += 1
