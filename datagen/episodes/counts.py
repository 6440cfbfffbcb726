"""Counts of the questions' outcomes so far, for the live view and the table at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datagen.episode import Episode
    from datagen.models.paid_api.status import Status

SHOWN = 5  # refused questions that are named
DIFFICULTIES = ("easy", "medium", "hard", "very hard")


@dataclass
class EpisodeCounts:
    """Counts of episodes by source and difficulty; its size does not hang on their number."""

    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    verified: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    triangulated: int = 0
    levels: set[str] = field(default_factory=set)
    audited: int = 0
    disagreed: int = 0
    no_reply: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    first_refused: list[str] = field(default_factory=list)

    def add(self, episode: Episode) -> None:
        key = (episode.question.source, episode.question.difficulty)
        self.asked[key] += 1
        self.levels.add(episode.provenance.sandbox_level)
        if episode.verdict.verified:
            self.verified[key] += 1
        else:
            self.rejected[episode.verdict.category or episode.verdict.rule] += 1
        self._add_failures(episode)
        if not episode.question.known and episode.verdict.attempts:
            self.triangulated += 1
            self.runs[episode.verdict.rule] += episode.verdict.attempts
        if episode.audit is not None:
            self.audited += 1
            self.disagreed += not episode.audit.agrees

    def _add_failures(self, episode: Episode) -> None:
        failures = [trace.failure for trace in episode.traces if trace.failure]
        self.no_reply.update(_kind(failure) for failure in failures)
        if any(trace.refused for trace in episode.traces):
            self.refused += 1
            if len(self.first_refused) < SHOWN:
                self.first_refused.append(f"{episode.question.text} ({failures[-1]})")

    @property
    def right(self) -> int:
        return self.verified.total()

    def yields(self, at: int) -> list[str]:
        """The yield by source (at 0) or difficulty (at 1), as "template 90%"."""
        names = sorted({key[at] for key in self.asked}, key=_rank)
        return [f"{name} {_share(*self._sums(at, name))}" for name in names]

    def _sums(self, at: int, name: str) -> tuple[int, int]:
        verified = sum(count for key, count in self.verified.items() if key[at] == name)
        return verified, sum(count for key, count in self.asked.items() if key[at] == name)

    def live(self, status: Status | None, total: int) -> list[str]:
        """The lines under the bar: yields, and where calls are paid for, money and calls."""
        lines = [f"yield: {', '.join([*self.yields(0), *self.yields(1)])}"] if self.asked else []
        if status is not None:
            lines.append(money(status, self.asked.total(), total))
            lines.append(
                f"calls: {status.in_flight} in flight, {status.waiting} waiting, "
                f"{status.per_minute:.0f}/min, {status.retries} retried, {status.replayed} answered from the ledger"
            )
        return lines

    def counts(self) -> dict[str, Any]:
        """The same counts as JSON values."""
        return {
            "episodes": self.asked.total(),
            "verified": self.right,
            "by": [
                {"source": source, "difficulty": difficulty, "episodes": n, "verified": right}
                for (source, difficulty), n in sorted(self.asked.items())
                for right in [self.verified[source, difficulty]]
            ],
            "rejected": dict(self.rejected),
            "no_reply": dict(self.no_reply),
            "refused": self.refused,
            "audited": self.audited,
            "audit_disagreed": self.disagreed,
        }

    def table(self) -> list[str]:
        """The table at the end, a line for each source and difficulty, then why others were rejected."""
        lines = [f"{'source':12}{'difficulty':12}{'questions':>10}{'verified':>10}{'yield':>8}"]
        keys = sorted(self.asked, key=lambda key: (key[0], _rank(key[1])))
        lines += [_row(*key, self.asked[key], self.verified[key]) for key in keys]
        lines.append(_row("all", "", self.asked.total(), self.right))
        if self.rejected:
            reasons = ", ".join(f"{name} {count}" for name, count in self.rejected.most_common())
            lines.append(f"rejected: {reasons}")
        if self.no_reply:
            kinds = ", ".join(f"{name} {count}" for name, count in self.no_reply.most_common())
            lines.append(f"attempts without a usable reply: {kinds}")
        lines += [f"dropped: {told}" for told in self.first_refused]
        if (more := self.refused - len(self.first_refused)) > 0:
            lines.append(f"dropped: {more} more questions that the API refused")
        if self.triangulated:
            mean = self.runs.total() / self.triangulated
            lines.append(f"mean attempts per question without a known answer: {mean:.2f}")
        if self.audited:
            lines.append(
                f"audit: a second model disagrees with {self.disagreed} of {self.audited} verified episodes"
            )
        return lines


def _kind(failure: str) -> str:
    """The kind of a trace's failure; of a reply without text, what it had instead."""
    kind, _, cause = failure.partition(": ")
    return cause if kind == "no text" else kind


def money(status: Status, done: int, total: int) -> str:
    """The cost so far, the limit and the projected total, as text."""
    said = f"spent: {_dollars(status.spent)}"
    if status.limit is not None:
        said += f" of at most {_dollars(status.limit)}"
    if status.uncertain:
        said += f" ({_dollars(status.uncertain)} of it estimated: the provider did not confirm the cost)"
    projected = status.projected(done, total)
    if projected is not None and done < total:
        said += f", projected {_dollars(projected)}"
    return said


def _dollars(amount: Decimal) -> str:
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"


def _row(source: str, difficulty: str, asked: int, verified: int) -> str:
    return f"{source:12}{difficulty:12}{asked:>10}{verified:>10}{_share(verified, asked):>8}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _rank(name: str) -> tuple[int, str]:
    return (DIFFICULTIES.index(name) if name in DIFFICULTIES else -1, name)
