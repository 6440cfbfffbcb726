"""Episodes become training rows: the messages exactly as the model saw them, one JSON object a line.

Only verified episodes are exported. A turn that failed stays in the row as context with weight 0, so
the model learns the repair and not the mistake.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.episode import Episode, Trace
from datagen.episodes.solution_shape import trace_shape
from trainer.contract.command.crash_safe_files import replacing
from trainer.contract.command.errors import BadData, Usage


@dataclass(frozen=True, kw_only=True)
class ExportRules:
    """What is exported: `None` means unlimited. Hinted attempts show the model what a user never gives."""

    per_question: int = 4
    per_family: int | None = None
    per_table: int | None = None
    hinted: bool = False


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Rows written, and how many episodes or attempts each rule left out."""

    rows: int
    left_out: Counter[str] = field(default_factory=Counter)


def export(
    episodes: Iterable[Episode],
    path: Path,
    *,
    rules: ExportRules | None = None,
    rejected: Path | None = None,
) -> Exported:
    """Write the rows of the verified episodes to `path`, whole or not at all.

    With `rejected`, also a right and a wrong attempt at one question as preference rows (TRL's
    prompt, chosen, rejected). Raises BadData where no row is left, and Usage for a path that is a
    folder.
    """
    for given in filter(None, (path, rejected)):
        if given.is_dir():
            raise Usage(f"{given} is a folder", "give the path of a file")
    rules, left_out = rules or ExportRules(), Counter[str]()
    pairs: list[dict[str, Any]] = []
    chosen: list[tuple[Episode, Trace]] = []
    for episode in episodes:
        good = _exportable(episode, rules, left_out)
        chosen += [(episode, trace) for trace in good]
        pairs += _pairs(episode, good)
    kept = _within_limits(chosen, rules, left_out)
    if not kept:
        raise BadData(
            "no rows to export: every episode was left out",
            "look at the episodes with: datagen inspect EPISODES",
            faults=[f"{times} left out: {reason}" for reason, times in (+left_out).items()],
        )
    _write(path, (row(episode, trace) for episode, trace in kept))
    if rejected is not None:
        _write(rejected, pairs)
    return Exported(rows=len(kept), left_out=left_out)


def row(episode: Episode, trace: Trace) -> dict[str, Any]:
    """The row of one attempt, in OpenAI's chat form."""
    messages: list[dict[str, Any]] = [m.model_dump() for m in trace.opening]
    return {"messages": [*messages, *_turns(trace)], "episode": episode.id}


def _turns(trace: Trace) -> Iterator[dict[str, Any]]:
    for turn in trace.turns:
        progress = turn.submitted or bool(turn.stdout.strip() or turn.hooks)
        learn = progress and not turn.error
        yield {"role": "assistant", "content": turn.reply, "weight": int(learn)}
        if turn.feedback is not None:
            yield {"role": "user", "content": turn.feedback}


def is_right(episode: Episode, trace: Trace) -> bool:
    """Whether the judge found this attempt right."""
    return trace.submitted and (episode.verdict.verified if trace.agrees is None else trace.agrees)


def _exportable(episode: Episode, rules: ExportRules, left_out: Counter[str]) -> list[Trace]:
    """Return the distinct right attempts of a verified episode, `per_question` at most."""
    if not episode.verdict.verified:
        left_out["episode not verified"] += 1
        return []
    found: dict[str, Trace] = {}
    for trace in episode.traces:
        if not is_right(episode, trace):
            left_out["attempt not right"] += 1
        elif trace.hinted and not rules.hinted:
            left_out["attempt saw the hint"] += 1
        elif found.setdefault(trace_shape(trace), trace) is not trace:
            left_out["same code as another attempt"] += 1
    left_out["over the limit per question"] += max(0, len(found) - rules.per_question)
    return [*found.values()][: rules.per_question]


def _within_limits(
    chosen: Sequence[tuple[Episode, Trace]], rules: ExportRules, left_out: Counter[str]
) -> list[tuple[Episode, Trace]]:
    """Apply the caps in an order derived from the episode ids, so that early questions get no preference."""
    kept: set[int] = set()
    families, tables = Counter[str](), Counter[str]()
    order = sorted(
        range(len(chosen)),
        key=lambda at: (hashlib.sha256(chosen[at][0].id.encode()).digest(), at),
    )
    for at in order:
        family, table = chosen[at][0].question.family, chosen[at][0].tables[0].sha256
        if rules.per_family is not None and families[family] >= rules.per_family:
            left_out["over the limit per family"] += 1
        elif rules.per_table is not None and tables[table] >= rules.per_table:
            left_out["over the limit per table"] += 1
        else:
            kept.add(at)
            families[family] += 1
            tables[table] += 1
    return [pair for at, pair in enumerate(chosen) if at in kept]


def _pairs(episode: Episode, good: Sequence[Trace]) -> list[dict[str, Any]]:
    """The first right attempt against each wrong one that began with the same messages."""
    wrong = [t for t in episode.traces if t.turns and not is_right(episode, t)]
    return [
        {
            "prompt": [m.model_dump() for m in trace.opening],
            "chosen": [m.model_dump() for m in best.messages()[len(best.opening) :]],
            "rejected": [m.model_dump() for m in trace.messages()[len(trace.opening) :]],
            "episode": episode.id,
        }
        for best in good[:1]
        for trace in wrong
        if trace.opening == best.opening
    ]


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with replacing(path) as file:
        file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
