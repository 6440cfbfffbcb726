import os
import subprocess
import sys
from dataclasses import replace

from datagen.questions.programs import source
from datagen.questions.programs.checks import solve
from datagen.questions.programs.program import from_json, shape
from datagen.questions.programs.source import ProgramSource, ask
from datagen.questions.template import MOST_ROWS, Tally
from datagen.tables.table import profile_table

HASHES = """
import sys
from datagen.questions.programs.source import ProgramSource
from datagen.questions.template import Tally
from datagen.tables.table import profile_table
from pathlib import Path
found = ProgramSource([profile_table(Path(sys.argv[1]))], seed=4, tally=Tally())
print([(q.id, q.text, q.code) for q in (found.propose({}) for _ in range(20))])
"""


def test_questions_come_from_the_sandbox_with_code_truth_and_program(profiles, alone):
    tally = Tally()
    asked = ask(profiles[:1], count=8, seed=1, tally=tally)
    assert len(asked.questions) == len({q.text for q in asked.questions}) == 8
    assert asked == ask(profiles[:1], count=8, seed=1)
    assert asked.questions != ask(profiles[:1], count=8, seed=2).questions
    for question in asked.questions:
        program = from_json(alone, question.params)
        assert question.family == shape(program)
        value = solve(program, alone).value
        assert question.truth == (
            value if question.decimals is None else round(value, question.decimals)
        )
        assert (question.code or "").splitlines()[-1].startswith("submit(")
        assert question.source == "procedural"
    assert tally.made[""] == 8
    assert not tally.disagreements


def test_several_tables_are_joined(profiles):
    questions = ask(profiles, count=3, seed=3).questions
    assert len(questions) == 3
    assert all('tables["shops"]' in (q.code or "") for q in questions)


def test_an_answer_that_pandas_does_not_find_is_dropped(profiles, monkeypatch):
    def wrong(program, found, tables):
        question = as_it_is(program, found, tables)
        return question.model_copy(update={"code": "submit('nonsense')"})

    as_it_is = source.as_question
    monkeypatch.setattr(source, "as_question", wrong)
    tally = Tally()
    assert ask(profiles[:1], count=3, seed=1, tally=tally).questions == []
    assert tally.dropped["", "the two routes disagree"] == len(tally.disagreements) > 0


def test_a_table_too_long_gets_none(profiles):
    asked = ask([replace(profiles[0], rows=MOST_ROWS + 1)], count=3, seed=1)
    assert asked.questions == []
    assert [*asked.dropped.values()] == [3]


def test_a_table_with_nothing_to_ask_ends(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("a,b\nx,1\ny,2\n", "utf-8")
    found = ProgramSource([profile_table(path)], seed=1, tally=Tally())
    assert found.propose({}) is None
    assert sum(found.tally.dropped.values()) == source.DRY


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
