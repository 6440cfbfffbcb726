"""One model or two on the same questions, from their transcripts: the figures, by group, and the cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from datagen.episode import Episode
from datagen.evaluation.conclusion import notes, verdict
from datagen.evaluation.stats import (
    ENOUGH_CLUSTERS,
    clustered_interval,
    compare,
    pass_at_k,
    smallest_difference,
    wilson,
)
from trainer.contract.command.errors import BadData

VERSION = 1
NAMES = ("the base", "the adapter")
GROUPS: Mapping[str, Callable[[Episode], str]] = {
    "families": lambda episode: episode.question.family,
    "tables": lambda episode: " + ".join(table.name for table in episode.tables),
    "difficulties": lambda episode: episode.question.difficulty,
    "sources": lambda episode: episode.question.source,
    "answer_types": lambda episode: episode.question.answer_type,
}
Pairs = Sequence[tuple[Episode, Episode]]


def compare_models(
    base: Sequence[Episode], adapter: Sequence[Episode], *, names: tuple[str, str] = NAMES
) -> dict[str, Any]:
    """What comparison.json holds, from two transcripts; questions are paired by their id.

    For a question with several answers the pairs have that of the lowest seed; `samples` covers
    all. `names` stand in the verdict. Raises BadData when they have no question in common. What
    only one answered is counted as `unpaired`.
    """
    ours, theirs = attempts_by_question(base), attempts_by_question(adapter)
    both = [key for key in ours if key in theirs]
    if not both:
        raise BadData(
            "the two results have no question in common", "compare evaluations of one episode file"
        )
    pairs = [(ours[key][0], theirs[key][0]) for key in both]
    right = [(b.verdict.verified, a.verdict.verified) for b, a in pairs]
    whole = asdict(compare([b for b, _ in right], [a for _, a in right]))
    n, discordant = whole["n"], (whole["wins"] + whole["losses"]) / whole["n"]
    differences = [float(a) - float(b) for b, a in right]
    found = {
        "v": VERSION,
        "names": [*names],
        **whole,
        **_clustered(differences, [b for b, _ in pairs]),
        "smallest": smallest_difference(n, discordant),
        "unpaired": len(ours) + len(theirs) - 2 * n,
        "prompts_differ": _prompts(b for b, _ in pairs) != _prompts(a for _, a in pairs),
        "intervals": _intervals(right),
        "models": {"base": pairs[0][0].provenance.model, "adapter": pairs[0][1].provenance.model},
        "effort": {"base": effort([b for b, _ in pairs]), "adapter": effort([a for _, a in pairs])},
        **{name: _compare_groups(pairs, key) for name, key in GROUPS.items()},
    }
    sampled = samples({key: (ours[key], theirs[key]) for key in both})
    if sampled is not None:
        found["samples"] = sampled
    return {**found, "verdict": verdict(found), "notes": notes(found)}


def measure_model(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return the content of result.json: the figures of one model. Raises BadData without answers."""
    asked = attempts_by_question(episodes)
    if not asked:
        raise BadData("no answer to measure", "evaluate the model first: datagen evaluate")
    firsts = [found[0] for found in asked.values()]
    right = sum(episode.verdict.verified for episode in firsts)
    found = {
        "v": VERSION,
        "model": firsts[0].provenance.model,
        "n": len(firsts),
        "right": right,
        "accuracy": right / len(firsts),
        "interval": [*wilson(right, len(firsts))],
        **_clustered([float(e.verdict.verified) for e in firsts], firsts),
        "effort": effort(firsts),
        **{name: _accuracy_of_groups(firsts, key) for name, key in GROUPS.items()},
    }
    if (k := min(map(len, asked.values()))) > 1:
        found["samples"] = {"k": k, **_pass_rates([*asked.values()], k)}
    return {**found, "notes": notes(found)}


def attempts_by_question(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    """The episodes of each question, by its id, the lowest seed first."""
    found: defaultdict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        found[episode.question.id].append(episode)
    return {key: sorted(value, key=lambda e: e.provenance.seed) for key, value in found.items()}


def samples(
    asked: Mapping[str, tuple[Sequence[Episode], Sequence[Episode]]],
) -> dict[str, Any] | None:
    """Pass@1 and pass@k of both if every question has k > 1 answers, and pass@1's difference.

    Its interval draws tables, each question being worth the mean of its tries.
    """
    k = min(len(found) for both in asked.values() for found in both)
    if k < 2:
        return None
    differences = [
        fmean(e.verdict.verified for e in a) - fmean(e.verdict.verified for e in b)
        for b, a in asked.values()
    ]
    return {
        "k": k,
        "base": _pass_rates([b for b, _ in asked.values()], k),
        "adapter": _pass_rates([a for _, a in asked.values()], k),
        "difference": fmean(differences),
        **_clustered(differences, [b[0] for b, _ in asked.values()]),
    }


def effort(episodes: Sequence[Episode]) -> dict[str, float | None]:
    """Return a model's effort: shares from 0 to 1, means per question, US dollars in all.

    `recovered` is the share of questions with a failed turn that were still answered right;
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


def _clustered(values: Sequence[float], episodes: Sequence[Episode]) -> dict[str, Any]:
    """The interval of the values' mean over whole tables, and how far it can be relied on."""
    tables = ["+".join(sorted(t.sha256 for t in episode.tables)) for episode in episodes]
    interval = clustered_interval(values, tables)
    clusters = len(set(tables))
    return {
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "clusters": clusters,
        "reliable": clusters >= ENOUGH_CLUSTERS,
    }


def _prompts(episodes: Iterable[Episode]) -> set[str]:
    return {episode.provenance.prompt_sha256 for episode in episodes}


def _pass_rates(asked: Sequence[Sequence[Episode]], k: int) -> dict[str, float]:
    counts = [(sum(e.verdict.verified for e in found), len(found)) for found in asked]
    return {
        "pass_at_1": fmean(pass_at_k(right, n, 1) for right, n in counts),
        "pass_at_k": fmean(pass_at_k(right, n, k) for right, n in counts),
    }


def _compare_groups(pairs: Pairs, key: Callable[[Episode], str]) -> dict[str, dict[str, Any]]:
    groups: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for base, adapter in pairs:
        groups[key(base)].append((base.verdict.verified, adapter.verdict.verified))
    return {
        name: {
            **asdict(compare([b for b, _ in right], [a for _, a in right])),
            "intervals": _intervals(right),
        }
        for name, right in sorted(groups.items())
    }


def _intervals(right: Sequence[tuple[bool, bool]]) -> dict[str, list[float]]:
    """Wilson's interval of the share of right answers of each side."""
    return {
        side: [*wilson(sum(pair[at] for pair in right), len(right))]
        for at, side in enumerate(("base", "adapter"))
    }


def _accuracy_of_groups(
    episodes: Sequence[Episode], key: Callable[[Episode], str]
) -> dict[str, Any]:
    groups: defaultdict[str, list[bool]] = defaultdict(list)
    for episode in episodes:
        groups[key(episode)].append(episode.verdict.verified)
    return {
        name: {"n": len(groups[name]), "accuracy": fmean(groups[name])} for name in sorted(groups)
    }
