"""One question: which attempts are made, what is accepted, and why not."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.episodes.attempts import Task, _is_audited, episode_id, make_episode
from datagen.episodes.counts import EpisodeCounts
from datagen.models.protocol import NoReply, Reply
from datagen.prompts.render import as_reply
from datagen.sandbox import CellResult
from tests.datagen.answered import solver
from trainer.contract.command.errors import BudgetSpent


class Cells:
    """A sandbox that runs `submit(X)` and `crash`, and nothing else."""

    level = "full"

    def episode(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, code):
        if code == "crash":
            return CellResult(ok=False, stderr="ZeroDivisionError")
        return CellResult(ok=True, submitted=True, answer=eval(code.removeprefix("submit")))


class Sessions:
    """A model with an answer by the name of the attempt; it keeps the order of the calls."""

    def __init__(self, answers, name="m"):
        self.answers = answers
        self.name = name
        self.asked = []
        self.hinted = []

    async def reply(self, messages, *, session):
        name = session.rpartition("/")[2]
        self.asked.append(name)
        if "Hint" in messages[1].content:
            self.hinted.append(name)
        answer = self.answers.get(name, self.answers.get("rest"))
        if isinstance(answer, Exception):
            raise answer
        code = answer if answer == "crash" else f"submit({answer!r})"
        return Reply(text="hm" if answer is None else as_reply(code))


@pytest.fixture
def known(tasks: list[Task]) -> Task:
    question = tasks[0].question.model_copy(
        update={"answer_type": "integer", "decimals": None, "truth": 3}
    )
    return replace(tasks[0], question=question, style="full")


@pytest.fixture
def unknown(known: Task) -> Task:
    question = known.question.model_copy(update={"known": False, "truth": None, "hint": "h"})
    return replace(known, question=question)


def make(task, answers, auditor=None, **rules):
    model = Sessions(answers)
    one = replace(solver(model, **rules), auditor=auditor)
    return asyncio.run(make_episode(task, one, Cells())), model  # type: ignore[arg-type]


def test_attempts_end_with_the_first_right_one(known: Task):
    episode, model = make(known, {"0": 4, "1": 3, "rest": 5}, attempts=3)
    assert model.asked == ["0", "1"]
    assert [t.agrees for t in episode.traces] == [False, True]
    assert episode.verdict.verified
    assert (episode.verdict.rule, episode.verdict.agreed, episode.verdict.attempts) == (
        "integer",
        1,
        2,
    )
    assert model.hinted == []


def test_different_right_attempts_are_collected(known: Task):
    answers = {"0": 3, "1": 3, "2": 3.0, "rest": 3}
    episode, model = make(known, answers, attempts=9, traces=2)
    assert model.asked == ["0", "1", "2"]  # the second wrote the same code
    assert episode.verdict.agreed == 3


@pytest.mark.parametrize(
    ("answer", "category", "rule"),
    [
        (4, "wrong", "integer"),
        (None, "no submit", "not submitted"),
        ("crash", "crash", "not submitted"),
    ],
)
def test_why_an_answer_is_not_right(known: Task, answer, category, rule):
    episode, _ = make(known, {"rest": answer}, attempts=2)
    assert len(episode.traces) == 2
    assert (episode.verdict.verified, episode.verdict.category) == (False, category)
    assert episode.verdict.rule == rule
    assert episode.verdict.detail


def test_three_that_agree_with_gold_make_its_answer_the_truth(unknown: Task):
    episode, model = make(unknown, {"rest": 3.0})
    assert sorted(model.asked) == ["0", "1", "2", "3"]
    assert model.asked[0] == "0"
    assert model.hinted == ["0"]
    assert (episode.verdict.verified, episode.verdict.agreed, episode.verdict.attempts) == (
        True,
        3,
        3,
    )
    assert (episode.question.truth, episode.question.known) == (3, False)
    assert [t.hinted for t in episode.traces] == [True, False, False, False]


def test_a_run_that_failed_is_a_disagreement(unknown: Task):
    episode, _ = make(unknown, {"1": None, "2": "crash", "rest": 3})
    assert (episode.verdict.agreed, episode.verdict.attempts) == (3, 5)
    assert episode.verdict.verified
    worse, _ = make(unknown, {"1": None, "2": "crash", "4": 4, "rest": 3})
    assert not worse.verdict.verified
    assert worse.question.truth is None


def test_wrong_ones_end_it_at_the_third(unknown: Task):
    episode, _ = make(unknown, {"0": 3, "rest": 4})
    assert (episode.verdict.attempts, episode.verdict.category) == (3, "hint necessary")
    scattered, _ = make(unknown, {"0": 3, "1": 4, "2": 5, "3": 6})
    assert scattered.verdict.category == "too hard"


@pytest.mark.parametrize(
    ("gold", "category"), [(None, "no submit"), ("crash", "crash"), ("three", "wrong")]
)
def test_without_a_gold_answer_no_other_attempt_is_paid(unknown: Task, gold, category):
    episode, model = make(unknown, {"0": gold, "rest": 3})
    assert set(model.asked) == {"0"}
    assert (episode.verdict.verified, episode.verdict.category) == (False, category)
    assert episode.verdict.detail.startswith("the attempt with the hint: ")


def test_no_reply_fails_the_attempt_or_leaves_the_question_open(unknown: Task):
    cut = NoReply("length", "cut", reply=Reply(text="I"))
    episode, _ = make(unknown, {"1": cut, "rest": 3})
    assert (episode.verdict.agreed, episode.verdict.attempts) == (3, 4)
    with pytest.raises(NoReply, match="unavailable"):
        make(unknown, {"2": NoReply("unavailable", "503"), "rest": 3})
    with pytest.raises(BudgetSpent):
        make(unknown, {"3": BudgetSpent("spent"), "rest": 3})


def test_a_refused_question_is_asked_once(known: Task, unknown: Task):
    flagged = NoReply("refused", "HTTP 403: flagged")
    for task in (known, unknown):
        episode, model = make(task, {"rest": flagged}, attempts=3)
        assert len(model.asked) == 1
        assert not episode.verdict.verified
        assert episode.verdict.detail.endswith("no reply: refused: HTTP 403: flagged")
        tally = EpisodeCounts()
        tally.add(episode)
        assert f"dropped: {task.question.text} (refused: HTTP 403: flagged)" in tally.table()
        assert tally.counts()["no_reply"] == {"refused": 1}


def test_a_second_model_solves_a_share_of_the_verified_again(unknown: Task):
    second = Sessions({"rest": 4}, name="second")
    episode, _ = make(unknown, {"rest": 3}, second, audit=1.0)
    assert episode.audit is not None
    assert (episode.audit.model, episode.audit.agrees) == ("second", False)
    assert second.asked == ["audit"]
    assert not episode.audit.trace.hinted
    assert len(episode.traces) == 4
    agreeing, _ = make(unknown, {"rest": 3}, Sessions({"rest": 3}, name="second"), audit=1.0)
    assert agreeing.audit is not None
    assert agreeing.audit.agrees
    rejected, _ = make(unknown, {"0": 3, "rest": 4}, second, audit=1.0)
    assert rejected.audit is None


def test_about_the_share_asked_for_is_audited_and_always_the_same():
    some = [n for n in range(1000) if _is_audited(str(n), 0.1)]
    more = [n for n in range(1000) if _is_audited(str(n), 0.3)]
    assert 60 <= len(some) <= 140
    assert 240 <= len(more) <= 360
    assert {*some} <= {*more}
    assert not any(_is_audited(str(n), 0.0) for n in range(1000))
    assert all(_is_audited(str(n), 1.0) for n in range(1000))


def test_all_that_changes_an_episode_changes_its_id(known: Task, unknown: Task, tmp_path: Path):
    model = Sessions({})
    one = solver(model)
    other_table = known.tables[0].model_copy(update={"sha256": "x"})
    ids = [
        episode_id(known, one),
        episode_id(known, solver(Sessions({}, name="n"))),
        episode_id(known, solver(model, seed=1)),
        episode_id(known, solver(model, attempts=3)),
        episode_id(known, solver(model, sampling={"temperature": 1})),
        episode_id(replace(known, style="brief"), one),
        episode_id(replace(known, tables=[other_table]), one),
        episode_id(unknown, one),
    ]
    assert len({*ids}) == len(ids)
    assert episode_id(replace(known, paths=[tmp_path]), one) == ids[0]
