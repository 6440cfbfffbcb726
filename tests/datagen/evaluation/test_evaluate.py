import hashlib
import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.episode import read_episodes, write_episodes
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import attempt_all
from datagen.episodes.scripted_teacher import scripted_teacher
from datagen.evaluation.altered_tables import with_empty_tables
from datagen.evaluation.evaluate import (
    EvaluatedModel,
    EvaluationLimits,
    draw_tasks,
    evaluate,
    tasks_of,
)
from datagen.evaluation.saved_results import is_finished, read_all
from datagen.evaluation.score import score_answers
from datagen.models.protocol import ScriptedTeacher
from tests.datagen.answered import solver
from trainer.contract.command.errors import BadData, BudgetSpent


class Unwatched:
    def __call__(self, episode) -> None:
        pass

    found = __call__


@contextmanager
def unwatched(label: str, total: int):
    yield Unwatched()


def two(base, adapter) -> list[EvaluatedModel]:
    return [
        EvaluatedModel(label="base", model=base),
        EvaluatedModel(label="adapter", model=adapter),
    ]


def test_comparison_counts_are_those_of_the_rows(tasks: list[Task], tmp_path: Path):
    knowing = scripted_teacher(tasks, seed=0)
    half = type(knowing)(dict([*knowing.scripts.items()][::2]))
    found = evaluate(tasks, two(half, knowing), output=tmp_path, watch=unwatched)
    n, right = len(tasks), len(tasks[::2])
    assert found == json.loads((tmp_path / "comparison.json").read_text())
    assert (found["n"], found["base"], found["adapter"]) == (n, right / n, 1.0)
    assert found["difference"] == pytest.approx(1 - right / n)
    assert (found["wins"], found["losses"]) == (n - right, 0)
    assert found["mcnemar_p"] == pytest.approx(2 * 0.5 ** (n - right))
    assert sum(row["n"] for row in found["families"].values()) == n
    assert set(found["tables"]) == {"shop"}
    rows = [
        json.loads(line)
        for line in (tmp_path / "evaluation" / "questions.jsonl").read_text().splitlines()
    ]
    assert [row["id"] for row in rows] == [task.question.id for task in tasks]
    assert sum(row["base_correct"] for row in rows) == right


@pytest.fixture
def saved(tasks: list[Task], tmp_path: Path) -> Path:
    """An episode file in the folder of its table."""
    episodes = attempt_all(tasks[:2], solver(ScriptedTeacher({})), journal=tmp_path / "j")
    write_episodes(tmp_path / "test.jsonl", episodes)
    return tmp_path / "test.jsonl"


def test_a_changed_table_is_refused_with_both_hashes_and_a_missing_one(saved: Path, tasks):
    episodes = read_episodes(saved)
    assert [t.question for t in tasks_of(episodes, saved)] == [t.question for t in tasks[:2]]
    table = tasks[0].paths[0]
    old = episodes[0].tables[0].sha256
    table.write_text("city,amount\nUlm,1\n")
    new = hashlib.sha256(table.read_bytes()).hexdigest()
    with pytest.raises(BadData) as refused:
        tasks_of(episodes, saved)
    (fault,) = refused.value.faults
    assert f"has changed (SHA-256 {old[:12]}... then, {new[:12]}... now)" in fault
    table.unlink()
    with pytest.raises(BadData) as refused:
        tasks_of(episodes, saved)
    assert "table shop.csv is missing" in refused.value.faults[0]


def test_a_truth_of_another_form_is_refused(saved: Path):
    first, second = read_episodes(saved)
    odd = first.question.model_copy(update={"answer_type": "integer", "truth": "Ulm"})
    with pytest.raises(BadData) as refused:
        tasks_of([first.model_copy(update={"question": odd}), second], saved)
    assert f"question {odd.id}: invalid truth" in refused.value.faults[0]


def test_a_truth_as_text_is_the_value_that_it_stands_for(saved: Path):
    first, *_ = read_episodes(saved)
    spelled = first.question.model_copy(update={"answer_type": "integer", "truth": "1,234"})
    (task,) = tasks_of([first.model_copy(update={"question": spelled})], saved)
    assert task.question.truth == 1234


def test_nothing_to_ask(saved: Path):
    first, _ = read_episodes(saved)
    unknown = first.question.model_copy(update={"known": False})
    with pytest.raises(BadData, match="no question has a known or verified answer"):
        tasks_of([first.model_copy(update={"question": unknown})], saved)


class Odd:
    """Breaks at some questions, as nobody foresaw."""

    def __init__(self, model, broken: int):
        self.model, self.broken, self.name = model, broken, "odd"
        self.met: set[str] = set()

    async def reply(self, messages, *, session):
        if len(self.met) < self.broken or session in self.met:
            self.met.add(session)
            raise ZeroDivisionError("odd")
        return await self.model.reply(messages, session=session)


def test_an_episode_that_breaks_is_a_failure_on_record(tasks: list[Task], tmp_path: Path):
    knowing = scripted_teacher(tasks, seed=0)
    odd = Odd(knowing, broken=2)
    found = evaluate(tasks, two(knowing, odd), output=tmp_path, watch=unwatched)
    assert (found["losses"], found["n"]) == (2, len(tasks))
    assert (
        "adapter: 2 episodes ended with an error and count as wrong; the errors are in the transcript"
        in found["notes"]
    )
    rows = read_episodes(tmp_path / "evaluation" / "adapter.jsonl")
    assert [e.verdict.detail for e in rows if e.verdict.rule == "broken"] == 2 * [
        "ZeroDivisionError: odd"
    ]
    with pytest.raises(ZeroDivisionError):  # that many are no odd questions
        evaluate(tasks, two(knowing, Odd(knowing, 6)), output=tmp_path / "b", watch=unwatched)


def test_minutes_end_it_and_the_same_command_goes_on(tasks: list[Task], tmp_path: Path):
    knowing = scripted_teacher(tasks, seed=0)
    with pytest.raises(BadData, match="time limit of 0 minutes reached"):
        evaluate(
            tasks, two(knowing, knowing), output=tmp_path, watch=unwatched,
            limits=EvaluationLimits(minutes=0),
        )  # fmt: skip
    evaluate(tasks[:3], two(knowing, knowing), output=tmp_path, watch=unwatched)
    late = evaluate(
        tasks,
        two(knowing, knowing),
        output=tmp_path,
        watch=unwatched,
        limits=EvaluationLimits(minutes=0),
    )
    assert (late["n"], late["questions"], late["finished"]) == (3, len(tasks), False)
    assert f"time limit reached: 3 of {len(tasks)} questions" in late["notes"][-1]
    assert not is_finished(tmp_path / "comparison.json")
    whole = evaluate(tasks, two(knowing, knowing), output=tmp_path, watch=unwatched)
    assert (whole["n"], whole["finished"]) == (len(tasks), True)
    assert is_finished(tmp_path / "comparison.json")


class Counting:
    """Has read 60 tokens and written 40 with each reply; knows how many it gave."""

    def __init__(self, model):
        self.model, self.name, self.replies = model, model.name, 0

    async def reply(self, messages, *, session):
        self.replies += 1
        said = await self.model.reply(messages, session=session)
        return replace(said, prompt_tokens=60, completion_tokens=40)


def test_tokens_end_it_and_a_higher_limit_goes_on(tasks: list[Task], tmp_path: Path):
    knowing = Counting(scripted_teacher(tasks, seed=0))
    models = [replace(one, concurrency=1) for one in two(knowing, knowing)]

    def asked(most: int) -> tuple[list[int], str]:
        with pytest.raises(BudgetSpent) as refused:
            evaluate(
                tasks, models, output=tmp_path, watch=unwatched, limits=EvaluationLimits(tokens=most)
            )  # fmt: skip
        assert "--max-total-tokens" in refused.value.hint
        assert not (tmp_path / "comparison.json").exists()
        assert knowing.replies * 100 - most in range(300)  # the question under way has ended
        files = [tmp_path / "evaluation" / f"{label}.jsonl" for label in ("base", "adapter")]
        return [len(read_episodes(file)) for file in files if file.exists()], refused.value.cause

    first, cause = asked(300)
    assert first[0] in range(1, 4)
    assert first[1:] == []
    assert cause.startswith(f"base: {len(tasks) - first[0]} questions were not started: ")
    enough = len(tasks) * 150  # for the base and a part of the adapter
    assert asked(enough)[0][0] == len(tasks)
    spent = knowing.replies * 100
    found = evaluate(
        tasks, models, output=tmp_path, watch=unwatched, limits=EvaluationLimits(tokens=10**6)
    )  # fmt: skip
    assert found["finished"]
    replies = sum(
        len(episode.traces[-1].turns)
        for label in ("base", "adapter")
        for episode in read_episodes(tmp_path / "evaluation" / f"{label}.jsonl")
    )
    assert knowing.replies == replies  # nothing was asked twice
    assert spent < replies * 100
    # What was spent on everything is enough for everything.
    (tmp_path / "comparison.json").unlink()
    evaluate(
        tasks, models, output=tmp_path, watch=unwatched, limits=EvaluationLimits(tokens=replies * 100)
    )  # fmt: skip
    assert knowing.replies == replies


def test_turns_are_limited_and_several_seeds_are_all_asked(tasks: list[Task], tmp_path: Path):
    silent, knowing = ScriptedTeacher({}), scripted_teacher(tasks, seed=0)
    found = evaluate(
        tasks[:3], two(silent, knowing), output=tmp_path, watch=unwatched,
        limits=EvaluationLimits(turns=1, seed=4, seeds=3),
    )  # fmt: skip
    rows = read_episodes(tmp_path / "evaluation" / "base.jsonl")
    assert {len(e.traces[-1].turns) for e in rows} == {1}
    assert sorted({e.provenance.seed for e in rows}) == [4, 5, 6]
    assert found["samples"]["k"] == 3
    assert found["samples"]["adapter"] == {"pass_at_1": 1.0, "pass_at_k": 1.0}


def test_one_model_the_ceiling_and_what_transcripts_come_to_again(tasks, tmp_path: Path):
    knowing, silent = scripted_teacher(tasks, seed=0), ScriptedTeacher({})
    models = [
        EvaluatedModel(label="model", model=silent),
        EvaluatedModel(label="ceiling", model=knowing),
    ]
    probes = {"floor": with_empty_tables(tasks, tmp_path / "evaluation" / "tables")}
    found = evaluate(tasks, models, output=tmp_path, watch=unwatched, probes=probes)
    assert found == json.loads((tmp_path / "result.json").read_text())
    assert (found["accuracy"], found["ceiling"]["accuracy"]) == (0.0, 1.0)
    assert found["floor"]["model"]["n"] == len(tasks)
    assert not (tmp_path / "evaluation" / "floor-ceiling.jsonl").exists()
    assert score_answers(read_all(tmp_path)) == found


def test_a_sample_keeps_the_order_and_hangs_on_the_seed(tasks: list[Task]):
    first, again, other = (draw_tasks(tasks, 5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [t for t in tasks if t in first] == first
    assert draw_tasks(tasks, 99, seed=0) == tasks


def test_each_question_is_asked_as_its_episode_was_and_an_accepted_answer_is_its_truth(
    tasks: list[Task], tmp_path: Path
):
    teacher = scripted_teacher(tasks, seed=0)
    made = attempt_all(tasks[:3], solver(teacher), journal=tmp_path / "j")
    full = made[0].provenance.model_copy(update={"prompt": "full"})
    open_question = made[1].question.model_copy(update={"known": False})
    second = made[2].tables[0].model_copy(update={"name": "again"})
    episodes = [
        made[0].model_copy(update={"provenance": full}),
        made[1].model_copy(update={"question": open_question}),
        made[2].model_copy(update={"tables": [*made[2].tables, second]}),
    ]
    rejected = open_question.model_copy(update={"id": "x", "truth": None})
    refused = made[1].verdict.model_copy(update={"verified": False})
    episodes.append(made[1].model_copy(update={"question": rejected, "verdict": refused}))
    write_episodes(tmp_path / "test.jsonl", episodes)
    found = tasks_of(episodes, tmp_path / "test.jsonl")
    assert [task.style for task in found] == ["full", "brief", "brief"]
    assert [len(task.paths) for task in found] == [1, 1, 2]
    assert [task.question.truth for task in found] == [e.question.truth for e in made]
    knowing = scripted_teacher(found, seed=0)
    compared = evaluate(found, two(knowing, knowing), output=tmp_path, watch=unwatched)
    assert (compared["n"], compared["base"]) == (3, 1.0)
