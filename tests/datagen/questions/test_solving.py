"""A solution is judged by what it submits with variables and tables of its own."""

from pathlib import Path

import pytest

from datagen.episode import Question
from datagen.questions.solving import Solutions, agrees
from datagen.tables.table import profile_table
from trainer.contract.command.errors import NotFound


def question(code: str, truth: int) -> Question:
    return Question(
        id=code,
        text=code,
        answer_type="integer",
        source="template",
        family="rows",
        difficulty="easy",
        code=code,
        truth=truth,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n2\n3\n", encoding="utf-8")
    return path


def test_nothing_that_a_solution_leaves_behind_reaches_another(table: Path):
    asked = [
        question("left = 7\ndf.drop(df.index, inplace=True)\nsubmit(7)", 7),
        *[question(f"submit(len(df))  # {at}", 3) for at in range(8)],
        *[question(f"submit(left)  # {at}", 7) for at in range(8)],
    ]
    with Solutions([profile_table(table)]) as running:
        running.submit(asked[0]).result()
        found = [agrees(one, running.submit(one).result()) for one in asked]
    assert found == [True] + [True] * 8 + [False] * 8


def test_a_table_that_is_gone_is_reported(table: Path):
    profile = profile_table(table)
    table.unlink()
    with pytest.raises(NotFound, match=r"rows\.csv"), Solutions([profile]) as running:
        running.submit(question("submit(3)", 3)).result()
