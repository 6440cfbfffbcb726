import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from datagen.episode import write_episodes
from datagen.evaluate import evaluate, sample, tasks_of
from datagen.generate import Task, attempt_all
from datagen.models import ScriptedTeacher
from datagen.questions.teach import scripted_teacher
from trainer.contract.errors import BadData


@contextmanager
def unwatched(label: str, total: int):
    yield lambda episode: None


def test_comparison_counts_are_those_of_the_rows(tasks: list[Task], tmp_path: Path):
    knowing = scripted_teacher(tasks, seed=0)
    half = type(knowing)(dict([*knowing.scripts.items()][::2]))
    found = evaluate(tasks, base=half, adapter=knowing, output=tmp_path, seed=0, watch=unwatched)
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


def test_a_changed_table_is_refused(tasks: list[Task], tmp_path: Path):
    episodes = attempt_all(tasks[:2], ScriptedTeacher({}), seed=0, journal=tmp_path / "j")
    write_episodes(tmp_path / "test.jsonl", episodes)
    assert [t.question for t in tasks_of(episodes, tmp_path)] == [t.question for t in tasks[:2]]
    tasks[0].paths[0].write_text("city,amount\nUlm,1\n")
    with pytest.raises(BadData, match="has changed"):
        tasks_of(episodes, tmp_path)


def test_a_sample_keeps_the_order_and_hangs_on_the_seed(tasks: list[Task]):
    first, again, other = (sample(tasks, 5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert [t for t in tasks if t in first] == first
    assert sample(tasks, 99, seed=0) == tasks


def test_each_question_is_asked_as_its_episode_was_and_an_accepted_answer_is_its_truth(
    tasks: list[Task], tmp_path: Path
):
    teacher = scripted_teacher(tasks, seed=0)
    made = attempt_all(tasks[:3], teacher, seed=0, journal=tmp_path / "j")
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
    found = tasks_of(episodes, tmp_path)
    assert [task.style for task in found] == ["full", "brief", "brief"]
    assert [len(task.paths) for task in found] == [1, 1, 2]
    assert [task.question.truth for task in found] == [e.question.truth for e in made]
    knowing = scripted_teacher(found, seed=0)
    compared = evaluate(
        found, base=knowing, adapter=knowing, output=tmp_path, seed=0, watch=unwatched
    )
    assert (compared["n"], compared["base"]) == (3, 1.0)
