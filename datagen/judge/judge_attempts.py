"""The verdict on attempts that have been made. Pure: the same for fresh attempts and for saved ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datagen.episode import Question, Trace, Verdict
from datagen.judge.agreement import RULE, decide, failure_category, rejection_category
from datagen.judge.compare import Judgement, judge
from datagen.judge.truth_form import as_truth


def compare_attempt(trace: Trace, question: Question) -> Judgement:
    """The judge's finding on an attempt that submitted. Raises ValueError as `judge` does."""
    return judge(trace.answer, question.truth, *question.form)


def judge_attempt(trace: Trace, question: Question) -> Trace:
    """The attempt with `agrees` set."""
    agrees = trace.submitted and compare_attempt(trace, question).correct
    return trace.model_copy(update={"agrees": agrees})


def why_no_answer(trace: Trace, limit: int) -> str:
    """Return why an attempt has no answer."""
    if trace.failure is not None:
        return f"no reply: {trace.failure}"
    return f"no answer in {len(trace.turns)} of {limit} turns"


def with_gold_answer(question: Question, gold: Trace, limit: int) -> Question:
    """The question with the gold attempt's answer as truth.

    Raises ValueError if the answer is missing or does not have the form that the question requires.
    """
    if not gold.submitted:
        raise ValueError(why_no_answer(gold, limit))
    truth: Any = as_truth(gold.answer, *question.form)
    return question.model_copy(update={"truth": truth})


def judge_against_truth(
    question: Question, traces: Sequence[Trace], *, limit: int
) -> tuple[list[Trace], Verdict]:
    """The judged attempts and the verdict where the truth is known: one right attempt verifies it."""
    found = [judge_attempt(trace, question) for trace in traces]
    agreed = sum(bool(trace.agrees) for trace in found)
    decisive = next((trace for trace in found if trace.agrees), found[-1])
    rule, detail = "not submitted", why_no_answer(decisive, limit)
    if decisive.submitted:
        why = compare_attempt(decisive, question)
        rule, detail = why.rule, why.detail
    return found, Verdict(
        verified=agreed > 0,
        rule=rule,
        detail=detail,
        agreed=agreed,
        attempts=len(found),
        category=None if agreed else failure_category(decisive),
    )


def judge_against_gold(
    question: Question, traces: Sequence[Trace], *, limit: int
) -> tuple[Question, list[Trace], Verdict]:
    """The question, the judged attempts and the verdict where the truth is not known.

    The first attempt is the gold one, which saw the hint. Once accepted, its answer is the truth.
    """
    gold, *runs = traces
    open_question = question.model_copy(update={"truth": None})
    try:
        answered = with_gold_answer(question, gold, limit)
    except ValueError as error:
        detail = f"the attempt with the hint: {error}"
        kind = failure_category(gold)
        verdict = Verdict(verified=False, rule=RULE, detail=detail, category=kind)
        return open_question, [gold.model_copy(update={"agrees": None}), *runs], verdict
    found = [judge_attempt(run, answered) for run in runs]
    votes = [bool(run.agrees) for run in found]
    accepted = decide(votes)
    detail = (
        "" if accepted else f"{sum(votes)} of {len(votes)} agree with the attempt with the hint"
    )
    verdict = Verdict(
        verified=bool(accepted),
        rule=RULE,
        detail=detail if accepted is not None else f"{detail}, too few to decide",
        agreed=sum(votes),
        attempts=len(votes),
        category=None if accepted else rejection_category(found, answered),
    )
    return (
        answered if accepted else open_question,
        [gold.model_copy(update={"agrees": True}), *found],
        verdict,
    )
