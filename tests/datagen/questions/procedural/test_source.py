import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice

from datagen.judge.compare import judge
from datagen.questions.procedural import Tally, ask, source
from datagen.questions.procedural.checks import check
from datagen.questions.procedural.program import from_json
from datagen.tables.table import profile_table

HASHES = """
import sys
from datagen.questions.procedural import source
from datagen.tables.table import profile_table
from itertools import islice
from pathlib import Path
found = source._candidates([profile_table(Path(sys.argv[1]))], seed=4, tally=source.Tally())
print([(q.id, q.text, q.code) for q in islice(found, 25)])
"""


def test_questions_come_from_the_sandbox_with_code_truth_and_program(profiles, alone):
    tally = Tally()
    asked = ask(profiles[:1], count=8, seed=1, tally=tally)
    assert len(asked.questions) == len({q.text for q in asked.questions}) == 8
    assert asked == ask(profiles[:1], count=8, seed=1)
    assert asked.questions != ask(profiles[:1], count=8, seed=2).questions
    for question in asked.questions:
        program = from_json(question.params)
        assert question.family == program.shape
        answer = program.run(alone)
        check(program, alone, answer)
        judged = judge(answer.value, question.truth, question.answer_type, question.decimals)
        assert judged.correct
        assert (question.code or "").splitlines()[-1].startswith("submit(")
        assert question.source == "procedural"
    assert sum(tally.shapes.values()) == 8
    assert tally.drawn == 8 + sum(tally.dropped.values())
    assert not tally.disagreements


def test_several_tables_are_joined(profiles):
    questions = ask(profiles, count=3, seed=3).questions
    assert len(questions) == 3
    assert all('tables["shops"]' in (q.code or "") for q in questions)


def test_an_answer_that_pandas_does_not_find_is_dropped(profiles, monkeypatch):
    def wrong(program, answer, tables):
        question = as_it_is(program, answer, tables)
        return question.model_copy(update={"code": "submit('nonsense')"})

    as_it_is = source.as_question
    monkeypatch.setattr(source, "as_question", wrong)
    candidates = source._candidates
    five = lambda *args, **kw: islice(candidates(*args, **kw), 5)  # noqa: E731
    monkeypatch.setattr(source, "_candidates", five)
    tally = Tally()
    assert ask(profiles[:1], count=3, seed=1, tally=tally).questions == []
    assert tally.dropped["the two routes disagree"] == len(tally.disagreements) == 5


def test_a_table_too_long_for_the_plain_route_gets_none(profiles):
    asked = ask([replace(profiles[0], rows=source.MOST_ROWS + 1)], count=3, seed=1)
    assert asked.questions == []
    assert [*asked.dropped.values()] == [3]


def test_a_table_with_nothing_to_ask_ends(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("a,b\nx,1\ny,2\n", "utf-8")
    asked = ask([profile_table(path)], count=3, seed=1)
    assert asked.questions == []
    assert sum(asked.dropped.values()) == source.DRY


def test_the_hash_seed_does_not_matter(profiles):
    said = {
        subprocess.run(
            [sys.executable, "-c", HASHES, profiles[0].path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop()) > 1000
