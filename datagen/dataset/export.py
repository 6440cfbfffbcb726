"""Episodes become training rows: the messages exactly as the model saw them, one JSON object a line.

Only verified episodes are exported. A turn that failed stays in the row as context with weight 0, so
the model learns the repair and not the mistake.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from datagen.episode import Episode, Trace
from datagen.episodes.solution_shape import trace_shape
from trainer.contract.command.crash_safe_files import replacing
from trainer.contract.command.errors import BadData, Usage


@dataclass(frozen=True, kw_only=True)
class ExportRules:
    """What is exported: `None` means unlimited."""

    per_question: int = 4
    per_family: int | None = None
    per_table: int | None = None


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
    prompt, chosen, rejected). `episodes` are iterated twice: to choose the rows, then to write them.
    Raises BadData where no row is left, and Usage for a path that is a folder, or for one path twice.
    """
    for given in filter(None, (path, rejected)):
        if given.is_dir():
            raise Usage(f"{given} is a folder", "give the path of a file")
    if rejected is not None and rejected.resolve() == path.resolve():
        raise Usage(f"--out and --rejected are both {path}", "give two files")
    rules, left_out = rules or ExportRules(), Counter[str]()
    chosen: list[tuple[int, ...]] = []
    rows: list[_Row] = []
    for episode in episodes:
        chosen.append(_exportable(episode, rules, left_out))
        if chosen[-1]:
            family, table = episode.question.family, episode.tables[0].sha256
            rows += [_Row(episode.id, sys.intern(family), sys.intern(table))] * len(chosen[-1])
    kept = _within_limits(rows, rules, left_out)
    if not kept:
        raise BadData(
            "no rows to export: every episode was left out",
            "look at the episodes with: datagen inspect EPISODES",
            faults=[f"{times} left out: {reason}" for reason, times in (+left_out).items()],
        )
    with ExitStack() as files:
        out = files.enter_context(replacing(path))
        pairs = files.enter_context(replacing(rejected)) if rejected is not None else None
        numbers = count()
        for episode, at in zip(episodes, chosen, strict=True):
            good = [episode.traces[n] for n in at]
            out.writelines(_line(row(episode, trace)) for trace in good if next(numbers) in kept)
            if pairs is not None:
                pairs.writelines(map(_line, _pairs(episode, good)))
    return Exported(rows=len(kept), left_out=left_out)


class _Row(NamedTuple):
    """What the limits count of a row."""

    episode: str
    family: str
    table: str


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


def _exportable(episode: Episode, rules: ExportRules, left_out: Counter[str]) -> tuple[int, ...]:
    """Return where the distinct right attempts of a verified episode are, `per_question` at most."""
    if not episode.verdict.verified:
        left_out["episode not verified"] += 1
        return ()
    first, shapes = -1, dict[str, int]()
    for at, trace in enumerate(episode.traces):
        if not is_right(episode, trace):
            left_out["attempt not right"] += 1
        elif trace.hinted:  # it shows what a user never gives
            left_out["attempt saw the hint"] += 1
        elif first < 0:
            first = at  # mostly the only one: its shape is not needed
        else:
            shapes = shapes or {trace_shape(episode.traces[first]): first}
            if shapes.setdefault(trace_shape(trace), at) != at:
                left_out["same code as another attempt"] += 1
    distinct = [*shapes.values()] or [first] * (first >= 0)
    left_out["over the limit per question"] += max(0, len(distinct) - rules.per_question)
    return (*distinct[: rules.per_question],)


def _within_limits(
    rows: Sequence[_Row], rules: ExportRules, left_out: Counter[str]
) -> Collection[int]:
    """Which rows to keep, by an order derived from the episode ids: early questions get no preference."""
    if rules.per_family is None and rules.per_table is None:
        return range(len(rows))
    kept: set[int] = set()
    families, tables = Counter[str](), Counter[str]()
    order = sorted(
        range(len(rows)),
        key=lambda at: (hashlib.sha256(rows[at].episode.encode()).digest(), at),
    )
    for at in order:
        family, table = rows[at].family, rows[at].table
        if rules.per_family is not None and families[family] >= rules.per_family:
            left_out["over the limit per family"] += 1
        elif rules.per_table is not None and tables[table] >= rules.per_table:
            left_out["over the limit per table"] += 1
        else:
            kept.add(at)
            families[family] += 1
            tables[table] += 1
    return kept


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


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
