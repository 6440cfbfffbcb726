"""Two models on the same questions, from their transcripts: the figures, by group, and what each cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from datagen.episode import Episode
from datagen.stats import (
    ENOUGH_CLUSTERS,
    clustered_interval,
    compare,
    smallest_difference,
    wilson,
)
from trainer.contract.errors import BadData

VERSION = 1
GROUPS: Mapping[str, Callable[[Episode], str]] = {
    "families": lambda episode: episode.question.family,
    "tables": lambda episode: " + ".join(table.name for table in episode.tables),
    "difficulties": lambda episode: episode.question.difficulty,
    "sources": lambda episode: episode.question.source,
    "answer_types": lambda episode: episode.question.answer_type,
}


def compared(base: Sequence[Episode], adapter: Sequence[Episode]) -> dict[str, Any]:
    """What comparison.json holds, from two transcripts; questions are paired by their id.

    Raises BadData when they have no question in common. What only one was asked is counted as
    `unpaired`.
    """
    theirs = {episode.question.id: episode for episode in adapter}
    pairs = [(b, theirs[b.question.id]) for b in base if b.question.id in theirs]
    if not pairs:
        raise BadData(
            "the two results have no question in common", "compare evaluations of one episode file"
        )
    right = [(b.verdict.verified, a.verdict.verified) for b, a in pairs]
    tables = ["+".join(sorted(t.sha256 for t in b.tables)) for b, _ in pairs]
    whole = asdict(compare([b for b, _ in right], [a for _, a in right]))
    n, discordant = whole["n"], (whole["wins"] + whole["losses"]) / whole["n"]
    interval = clustered_interval([float(a) - float(b) for b, a in right], tables)
    return {
        "v": VERSION,
        **whole,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "clusters": len(set(tables)),
        "reliable": len(set(tables)) >= ENOUGH_CLUSTERS,
        "smallest": smallest_difference(n, discordant),
        "unpaired": len(base) + len(adapter) - 2 * n,
        "intervals": {
            "base": [*wilson(sum(b for b, _ in right), n)],
            "adapter": [*wilson(sum(a for _, a in right), n)],
        },
        "models": {"base": pairs[0][0].provenance.model, "adapter": pairs[0][1].provenance.model},
        "effort": {"base": effort([b for b, _ in pairs]), "adapter": effort([a for _, a in pairs])},
        **{name: _by(pairs, key) for name, key in GROUPS.items()},
    }


def effort(episodes: Sequence[Episode]) -> dict[str, float | None]:
    """How a model went about it: shares from 0 to 1, means a question, US dollars.

    `recovered` is the share of questions with a failed turn that were answered right all the same;
    None where no turn failed, as `cost_per_correct` is where none was right.
    """
    traces = [episode.traces[-1] for episode in episodes]
    stumbled = [e.verdict.verified for e in episodes if any(t.error for t in e.traces[-1].turns)]
    cost = sum(trace.cost for episode in episodes for trace in episode.traces)
    right = sum(episode.verdict.verified for episode in episodes)
    return {
        "submitted": fmean(trace.submitted for trace in traces),
        "recovered": fmean(stumbled) if stumbled else None,
        "turns": fmean(len(trace.turns) for trace in traces),
        "prompt_tokens": fmean(trace.prompt_tokens for trace in traces),
        "completion_tokens": fmean(trace.completion_tokens for trace in traces),
        "seconds": fmean(trace.seconds for trace in traces),
        "cost": cost,
        "cost_per_correct": cost / right if right else None,
    }


def _by(
    pairs: Sequence[tuple[Episode, Episode]], key: Callable[[Episode], str]
) -> dict[str, dict[str, Any]]:
    groups: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for base, adapter in pairs:
        groups[key(base)].append((base.verdict.verified, adapter.verdict.verified))
    return {
        name: asdict(compare([b for b, _ in groups[name]], [a for _, a in groups[name]]))
        for name in sorted(groups)
    }


def text(found: Mapping[str, Any]) -> list[str]:
    """The comparison as lines for people: the verdict last."""
    lines = [f"{'':28}{'n':>5}{'base':>8}{'adapter':>9}{'difference':>12}"]
    for heading in ("families", "tables"):
        lines += [_line(name, row) for name, row in found[heading].items()] + [""]
    lines.append(_line("all", found))
    lines.append(
        f"wins {found['wins']}, losses {found['losses']}, exact McNemar p = {found['mcnemar_p']:.2g}"
    )
    if found["low"] is not None:
        doubt = "" if found["reliable"] else f"; over only {found['clusters']} tables: too narrow"
        lines.append(f"95% interval {found['low']:+.3f} to {found['high']:+.3f}{doubt}")
    lines.append(verdict(found))
    return lines


def verdict(found: Mapping[str, Any]) -> str:
    """Better, worse, or not to be told: in one sentence, a regression as loudly as a gain."""
    change = f"{found['difference']:+.3f}"
    if found["mcnemar_p"] < 1 - 0.95:
        word = "BETTER" if found["difference"] > 0 else "WORSE"
        return f"the adapter is {word} than the base by {change}"
    smallest = found["smallest"]
    seen = (
        f"{found['n']} questions show differences from {smallest:.2f} on"
        if smallest < 1
        else f"{found['n']} questions are too few to show any difference"
    )
    return f"no difference can be told from chance ({change}): {seen}"


def _line(name: str, row: Mapping[str, Any]) -> str:
    return f"{name:28}{row['n']:>5}{row['base']:>8.3f}{row['adapter']:>9.3f}{row['difference']:>+12.3f}"
