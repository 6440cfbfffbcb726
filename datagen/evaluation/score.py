"""Compute comparison.json or result.json from the transcripts of an evaluation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datagen.episode import Episode
from datagen.episodes.attempts import BROKEN
from datagen.evaluation.comparison import (
    attempts_by_question,
    compare_models,
    effort,
    measure_model,
)
from datagen.evaluation.stats import compare, wilson

MODEL = "model"
CEILING = "ceiling"
LABELS = ("base", "adapter", MODEL, CEILING)
PROBES = {"floor": "tables emptied", "renamed": "columns renamed, rows resampled"}


def score_answers(
    answers: Mapping[str, Sequence[Episode]], *, questions: int | None = None
) -> dict[str, Any]:
    """The comparison of `base` and `adapter`, else the measures of `model`, from transcripts by label.

    With transcripts for them also `ceiling`, and by model `floor` and `renamed`: how the same
    questions went there. `questions` is how many there were; `finished`: all of them have answers.
    """
    if MODEL in answers:
        found = measure_model(answers[MODEL])
    else:
        found = compare_models(answers["base"], answers["adapter"])
    if answers.get(CEILING):
        found[CEILING] = _ceiling(answers[CEILING])
    for probe in PROBES:
        sides = {
            label: _compare_probe(answers[f"{probe}-{label}"], answers[label])
            for label in ("base", "adapter", MODEL)
            if answers.get(f"{probe}-{label}")
        }
        if sides:
            found[probe] = sides
    found["questions"] = questions or found["n"]
    found["finished"] = found["n"] == found["questions"]
    found["notes"] = [*found["notes"], *_notes(found, answers)]
    return found


def _ceiling(episodes: Sequence[Episode]) -> dict[str, Any]:
    firsts = [found[0] for found in attempts_by_question(episodes).values()]
    return {
        "model": firsts[0].provenance.model,
        **_share([episode.verdict.verified for episode in firsts]),
        "effort": effort(firsts),
    }


def _compare_probe(probed: Sequence[Episode], plain: Sequence[Episode]) -> dict[str, Any]:
    """`plain` is the accuracy on the same questions as they were, `mcnemar_p` that of the change."""
    before, after = attempts_by_question(plain), attempts_by_question(probed)
    keys = [key for key in after if key in before]
    right = [after[key][0].verdict.verified for key in keys]
    was = [before[key][0].verdict.verified for key in keys]
    if not keys:
        return {"n": 0}
    change = compare(was, right)
    return {
        **_share(right),
        "plain": change.base,
        "difference": change.difference,
        "mcnemar_p": change.mcnemar_p,
    }


def _share(right: Sequence[bool]) -> dict[str, Any]:
    return {
        "n": len(right),
        "accuracy": sum(right) / len(right),
        "interval": [*wilson(sum(right), len(right))],
    }


def _notes(found: Mapping[str, Any], answers: Mapping[str, Sequence[Episode]]) -> Iterator[str]:
    if not found["finished"]:
        yield (
            f"time limit reached: {found['n']} of {found['questions']} questions are counted; run "
            "the same command to continue"
        )
    for label, episodes in answers.items():
        broken = sum(episode.verdict.rule == BROKEN for episode in episodes)
        if broken:
            yield (
                f"{label}: {broken} episodes ended with an error and count as wrong; the errors are in"
                " the transcript"
            )
