"""Decide whether to accept a question without a known answer, by attempts that did not see its hint.

The gold attempt saw the hint; each further one did not, and votes: same answer as gold or not. A run
that failed is a vote against. Pure: running the attempts is `attempts`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datagen.episode import Category, Question, Trace
from datagen.judge.compare import judge
from datagen.judge.truth_form import as_truth

RULE = "majority"  # the name of this rule in verdicts
NEEDED, MOST = 3, 5


def decide(votes: Sequence[bool]) -> bool | None:
    """Whether these votes accept the question, by three of five; None while they decide nothing."""
    agreed = sum(votes)
    if agreed >= NEEDED:
        return True
    return False if len(votes) - agreed > MOST - NEEDED else None


def fewest_more_votes(votes: Sequence[bool]) -> int:
    """How many more runs it takes at least to decide: so many may run at once, and none is wasted."""
    more = 0
    while decide([*votes, *[True] * more]) is None and decide([*votes, *[False] * more]) is None:
        more += 1
    return more


def agree(one: Trace, other: Trace, question: Question) -> bool:
    """Whether two attempts, that submitted, have the same answer in the form that the question requires."""
    form = question.form
    try:
        return judge(other.answer, as_truth(one.answer, *form), *form).correct
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class _Count:
    """Of the runs without hint: all, those that gave no answer, those of them that ended in an error,
    those that agree with gold, and the most that agree with one another on another answer.
    """

    runs: int
    silent: int
    crashed: int
    agreed: int
    others: int


def rejection_category(runs: Sequence[Trace], question: Question) -> Category:
    """Why a question was not accepted, from the runs without hint (`agrees` is set on each).

    crash, no submit: half of them or more gave no answer, most with an error, or not.
    ambiguous: some agree with gold, and two or more with one another on another answer.
    disagreement: some agree with gold, the others with no other.
    hint necessary: none agrees with gold, and most of them with one another.
    no majority: none agrees with gold, a minority with one another.
    too hard: every run has a different answer.
    """
    rest = [run for run in runs if run.submitted and not run.agrees]
    silent = [run for run in runs if not run.submitted]
    count = _Count(
        runs=len(runs),
        silent=len(silent),
        crashed=sum(crashed(run) for run in silent),
        agreed=sum(bool(run.agrees) for run in runs),
        others=max((sum(agree(one, other, question) for other in rest) for one in rest), default=0),
    )
    return _category(count)


def _category(count: _Count) -> Category:
    if 2 * count.silent >= count.runs:
        return "crash" if 2 * count.crashed > count.silent else "no submit"
    if count.agreed:
        return "ambiguous" if count.others > 1 else "disagreement"
    if 2 * count.others > count.runs:
        return "hint necessary"
    return "no majority" if count.others > 1 else "too hard"


def crashed(trace: Trace) -> bool:
    """Whether the attempt's last code ended in an error."""
    return bool(trace.turns) and trace.turns[-1].code is not None and trace.turns[-1].error


def failure_category(trace: Trace) -> Category:
    """The kind of failure of one attempt whose answer is not right, or that has none."""
    if trace.submitted:
        return "wrong"
    return "crash" if crashed(trace) else "no submit"
