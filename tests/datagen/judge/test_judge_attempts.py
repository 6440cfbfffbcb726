"""What is said of attempts that have been made, with and without a known truth."""

import pytest

from datagen.episode import Question, Trace, Turn
from datagen.judge.judge_attempts import (
    judge_against_gold,
    judge_against_truth,
    judge_attempt,
    why_no_answer,
    with_gold_answer,
)

LIMIT = 6


def question(truth=None) -> Question:
    return Question(
        id="q",
        text="?",
        answer_type="number",
        decimals=2,
        source="proposed",
        family="f",
        difficulty="easy",
        known=truth is not None,
        truth=truth,
    )


def said(answer) -> Trace:
    turn = Turn(reply="x", code="x", submitted=True, answer=answer)
    return Trace(opening=[], turns=[turn])


def silent(**facts) -> Trace:
    turns = [Turn(reply="hm", code=None, error=True)] * 2
    return Trace(opening=[], turns=turns, **facts)


def agreements(traces):
    return [trace.agrees for trace in traces]


def test_why_there_is_no_answer():
    assert why_no_answer(silent(), LIMIT) == "no answer in 2 of 6 turns"
    assert why_no_answer(silent(failure="HTTP 503"), LIMIT) == "no reply: HTTP 503"


def test_an_attempt_agrees_when_it_submitted_what_is_right():
    known = question(1.0)
    assert agreements([judge_attempt(t, known) for t in (said(1.001), said(2.0), silent())]) == [
        True,
        False,
        False,
    ]


def test_gold_gives_the_truth_in_the_form_that_was_asked_for():
    assert with_gold_answer(question(), said("1.5"), LIMIT).truth == 1.5
    with pytest.raises(ValueError, match="no answer in 2 of 6 turns"):
        with_gold_answer(question(), silent(), LIMIT)
    with pytest.raises(ValueError, match="truth is a str"):
        with_gold_answer(question(), said("much"), LIMIT)


@pytest.mark.parametrize(
    ("attempts", "verified", "agreed", "rule", "detail", "category"),
    [
        ([said(1.0)], True, 1, "number", "", None),
        ([said(2.0), silent(), said(1.0)], True, 1, "number", "", None),
        ([said(1.0), said(1.0), said(2.0)], True, 2, "number", "", None),
        (
            [silent(), said(2.0)],
            False, 0, "number", "not within half a unit of decimal 2", "wrong",
        ),
        ([said(2.0), silent()], False, 0, "not submitted", "no answer in 2 of 6 turns", "no submit"),
    ],
)  # fmt: skip
def test_one_right_attempt_verifies_a_known_truth(
    attempts, verified, agreed, rule, detail, category
):
    found, verdict = judge_against_truth(question(1.0), attempts, limit=LIMIT)
    assert len(found) == verdict.attempts == len(attempts)
    assert verdict.verified is verified
    assert (verdict.agreed, verdict.rule, verdict.detail) == (agreed, rule, detail)
    assert verdict.category == category


def test_gold_that_says_nothing_leaves_the_question_open():
    asked, traces, verdict = judge_against_gold(question(5.0), [silent(), said(1.0)], limit=LIMIT)
    assert asked.truth is None
    assert agreements(traces) == [None, None]
    assert (verdict.verified, verdict.rule, verdict.category) == (False, "majority", "no submit")
    assert verdict.detail == "the attempt with the hint: no answer in 2 of 6 turns"
    assert (verdict.agreed, verdict.attempts) == (0, 0)


@pytest.mark.parametrize(
    ("votes", "truth", "detail", "category"),
    [
        ([1.0, 1.0, 1.0], 1.0, "", None),
        ([1.0, 2.0, 1.0, 1.0], 1.0, "", None),
        ([2.0, 2.0, 2.0], None, "0 of 3 agree with the attempt with the hint", "hint necessary"),
        (
            [1.0, 2.0, 3.0],
            None,
            "1 of 3 agree with the attempt with the hint, too few to decide",
            "disagreement",
        ),
    ],
)
def test_gold_is_the_truth_when_enough_agree_with_it(votes, truth, detail, category):
    attempts = [said(1.0), *map(said, votes)]
    asked, traces, verdict = judge_against_gold(question(5.0), attempts, limit=LIMIT)
    assert asked.truth == truth
    assert agreements(traces) == [True, *(vote == 1.0 for vote in votes)]
    assert verdict.verified is (truth is not None)
    assert (verdict.agreed, verdict.attempts) == (votes.count(1.0), len(votes))
    assert (verdict.rule, verdict.detail, verdict.category) == ("majority", detail, category)
