"""The decision: the same as that of a fixed number of runs, with fewer of them."""

import random
from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episode import Question, Trace, Turn
from datagen.judge.agreement import (
    MOST,
    NEEDED,
    decide,
    failure_category,
    fewest_more_votes,
    rejection_category,
)

QUESTION = Question(
    id="q",
    text="?",
    answer_type="number",
    decimals=2,
    source="proposed",
    family="f",
    difficulty="easy",
    known=False,
)
# Chance that a run agrees with gold: acceptance and mean runs, from the facts' part 3.2.
MAJORITY = {
    0.1: (0.01, 3.32),
    0.2: (0.06, 3.63),
    0.3: (0.16, 3.89),
    0.5: (0.50, 4.12),
    0.8: (0.94, 3.63),
    0.9: (0.99, 3.32),
    0.95: (1.00, 3.16),
}


def votes_of(stream):
    """The votes taken from a stream, in waves as the runner takes them."""
    votes: list[bool] = []
    while more := fewest_more_votes(votes):
        votes += [next(stream) for _ in range(more)]
    return votes


def exact(rate, votes=()):
    """Acceptance and mean runs at an agreement rate, over every course that voting can take."""
    verdict = decide(votes)
    if verdict is not None:
        return float(verdict), float(len(votes))
    yes, no = exact(rate, (*votes, True)), exact(rate, (*votes, False))
    return tuple(rate * a + (1 - rate) * b for a, b in zip(yes, no, strict=True))


def test_acceptance_and_mean_runs_are_those_of_the_facts():
    for rate, (accepted, runs) in MAJORITY.items():
        assert exact(rate) == pytest.approx((accepted, runs), abs=0.0051)


def test_stopped_when_decided_decides_as_all_five_would():
    for course in product([True, False], repeat=MOST):
        votes = votes_of(iter(course))
        assert decide(votes) == (sum(course) >= NEEDED)
    for rate in MAJORITY:
        fixed = sum(comb(5, k) * rate**k * (1 - rate) ** (5 - k) for k in range(3, 6))
        assert exact(rate)[0] == pytest.approx(fixed)


def test_simulated_runs_stay_at_about_four():
    draw = random.Random(0)
    for rate in MAJORITY:
        runs = same = 0
        for _ in range(4000):
            course = [draw.random() < rate for _ in range(MOST)]
            votes = votes_of(iter(course))
            runs += len(votes)
            same += decide(votes) == (sum(course) >= NEEDED)
        assert same == 4000
        assert runs / 4000 <= 4.15


@given(st.lists(st.booleans(), min_size=MOST, max_size=MOST))
def test_no_run_is_wasted(course):
    """Waves take exactly the runs that one at a time would."""
    single = 0
    while decide(course[:single]) is None:
        single += 1
    votes = votes_of(iter(course))
    assert len(votes) == single <= MOST
    assert fewest_more_votes(votes) == 0


@given(st.lists(st.booleans(), max_size=7), st.randoms())
def test_the_order_of_the_votes_does_not_matter(votes, shuffler):
    assert decide(shuffler.sample(votes, len(votes))) == decide(votes)


SILENT, CRASHED = "silent", "crashed"
GOLD = 1.0


def run(answer) -> Trace:
    if answer == SILENT:
        turn = Turn(reply="hm", code=None, error=True)
    elif answer == CRASHED:
        turn = Turn(reply="x", code="x", error=True)
    else:
        turn = Turn(reply="x", code="x", submitted=True, answer=answer)
    agrees = isinstance(answer, float) and abs(answer - GOLD) <= 0.005
    return Trace(opening=[], turns=[turn], agrees=agrees)


CASES = [
    ([SILENT, SILENT, 1.0], "no submit"),
    ([SILENT, SILENT, 2.0, 3.0], "no submit"),
    ([CRASHED, CRASHED, SILENT], "crash"),
    ([CRASHED, SILENT, 1.0], "no submit"),
    ([1.0, 2.0, 2.004, 1.0, 2.0], "ambiguous"),
    ([1.0, 2.0, 3.0, 4.0], "disagreement"),
    ([1.0, 1.0, 2.0, 3.0], "disagreement"),
    ([2.0, 2.0, 2.0], "hint necessary"),
    (["2", 2.0, 2], "hint necessary"),
    ([2.0, 2.0, 3.0, 4.0], "no majority"),
    ([2.0, 3.0, 4.0], "too hard"),
    (["a", "a", "b"], "too hard"),
]


@pytest.mark.parametrize(("answers", "expected"), CASES)
def test_the_kinds_of_failure_and_their_order_does_not_matter(answers, expected):
    runs = [run(answer) for answer in answers]
    for shift in range(len(runs)):
        assert rejection_category([*runs[shift:], *runs[:shift]], QUESTION) == expected
        assert rejection_category([*runs[shift::-1], *runs[:shift:-1]], QUESTION) == expected


def test_a_single_vote_is_no_majority():
    """Facts 1.7: a largest group of one accepted a question with as many answers as runs."""
    assert decide([True]) is None
    assert decide([True, False]) is None


@pytest.mark.parametrize(
    ("answer", "kind"), [(2.0, "wrong"), (SILENT, "no submit"), (CRASHED, "crash")]
)
def test_the_failure_of_one_attempt(answer, kind):
    assert failure_category(run(answer)) == kind
