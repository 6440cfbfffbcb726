"""What keep = best needs, and what it refuses before anything is rented or trained."""

import hashlib
import json

import pytest

from trainer.contract import validation
from trainer.contract.command.errors import BadData, BadJob, NotFound
from trainer.contract.episodes import shared
from trainer.contract.job import Job, from_sources


def episodes(path, questions, table=b"a,b\n1,2\n"):
    """An episode file of (id, text) about one table, which is written too."""
    (path.parent / f"{path.stem}.csv").write_bytes(table)
    named = [{"path": f"{path.stem}.csv", "sha256": hashlib.sha256(table).hexdigest()}]
    lines = [
        json.dumps({"v": 1, "tables": named, "question": {"id": key, "text": text}})
        for key, text in questions
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def job(best=True, **paths):
    flags = {name: str(path) for name, path in paths.items()}
    return from_sources(None, [], {"keep": "best", **flags} if best else flags)


def test_the_flags_are_those_of_the_options():
    assert Job().keep == "loss"
    validation.check(Job())


def test_best_needs_episodes_and_episodes_need_best(tmp_path):
    with pytest.raises(BadJob, match="--validate"):
        validation.check(job())
    path = episodes(tmp_path / "v.jsonl", [("1", "how many?")])
    with pytest.raises(BadJob, match="--keep best"):
        validation.check(job(best=False, validation=path))
    validation.check(job(validation=path))
    (tmp_path / "v.csv").write_text("changed")
    with pytest.raises(BadData):
        validation.check(job(validation=path))
    with pytest.raises(NotFound):
        validation.check(job(validation=tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("question", "table"), [(("1", "another?"), b"other"), (("9", "how many?"), b"a,b\n1,2\n")]
)
def test_a_question_of_the_evaluation_is_refused_by_id_and_by_text_and_table(
    tmp_path, question, table
):
    path = episodes(tmp_path / "v.jsonl", [question, ("5", "what?")], table)
    test = episodes(tmp_path / "t.jsonl", [("1", "how many?"), ("2", "why?")])
    assert shared(path, test) == [question[0]]
    with pytest.raises(BadData) as caught:
        validation.check(job(validation=path, evaluate=test))
    assert str(path) in caught.value.cause
    assert str(test) in caught.value.cause


def test_the_same_words_about_another_table_are_another_question(tmp_path):
    path = episodes(tmp_path / "v.jsonl", [("3", "how many?")], b"other")
    test = episodes(tmp_path / "t.jsonl", [("1", "how many?")])
    assert shared(path, test) == []
    validation.check(job(validation=path, evaluate=test))


def test_a_file_that_cannot_be_read_is_no_choice(tmp_path):
    path = tmp_path / validation.RESULT
    assert validation.read(path) is None
    path.write_text('{"v": 1}')
    assert validation.read(path) is None
    score = validation.Score(step=4, loss=None, right=1, questions=2)
    kept = validation.Choice(chosen=4, by_loss=2, scores=[score])
    path.write_text(kept.model_dump_json())
    assert validation.read(path) == kept
