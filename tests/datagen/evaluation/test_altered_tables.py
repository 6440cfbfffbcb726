"""Floor and probe: what becomes of tables, texts, solutions and truths."""

import csv
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from datagen.episode import Question
from datagen.episodes.agent import solve
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import table_ref
from datagen.evaluation.altered_tables import (
    _renamed_question,
    new_names,
    with_empty_tables,
    with_renamed_columns,
)
from datagen.judge.compare import judge
from datagen.models.protocol import Reply
from datagen.prompts.render import as_reply, opening
from datagen.sandbox.server_pool import start_sandbox
from datagen.tables.infer import ReadingOptions
from datagen.tables.table import profile_table, read_table


def test_an_emptied_table_has_its_columns_and_tells_nothing(tasks: list[Task], tmp_path: Path):
    found = with_empty_tables(tasks, tmp_path / "floor")
    (path,) = {path for task in found for path in task.paths}
    frame = read_table(path, found[0].tables[0].reading)
    assert list(frame.columns) == ["city", "amount", "units", "day"]
    assert frame.isna().all().all()
    assert [t.question for t in found] == [t.question for t in tasks]
    told = "\n".join(m.content for m in opening(found[0].question, found[0].tables, "full"))
    assert "amount" in told
    assert not [word for word in ("Ulm", "10.5", "2024") if word in told]


def test_columns_are_renamed_rows_drawn_and_truths_computed_anew(tasks, tmp_path: Path):
    found = with_renamed_columns(tasks, tmp_path, seed=0)
    assert len(found) == len(tasks)
    names = new_names(tasks[0].tables)
    assert names == {
        "city": "column_a", "amount": "column_b", "units": "column_c", "day": "column_d",
    }  # fmt: skip
    (path,) = {path for task in found for path in task.paths}
    with path.open() as file:
        head, *rows = csv.reader(file)
    assert head == [*names.values()]
    assert len(rows) == 6
    assert [t.question.id for t in found] == [t.question.id for t in tasks]
    assert [t.question.truth for t in found] != [t.question.truth for t in tasks]
    with start_sandbox(found[0]) as sandbox:
        for task in found:
            question = task.question
            assert question.code is not None
            assert not [name for name in names if f'"{name}"' in question.text + question.code]
            with sandbox.episode() as cells:
                answer = cells.run(question.code).answer
            form = (question.answer_type, question.decimals, question.significant)
            assert judge(answer, question.truth, *form).correct


def test_without_a_solution_the_rows_stay_and_so_does_the_truth(tasks, tmp_path: Path):
    plain = [
        Task(question=t.question.model_copy(update={"code": None}), tables=t.tables, paths=t.paths)
        for t in tasks
    ]
    found = with_renamed_columns(plain, tmp_path, seed=0)
    assert {t.question.id: t.question.truth for t in found}.items() <= {
        t.question.id: t.question.truth for t in tasks
    }.items()
    (path,) = {path for task in found for path in task.paths}
    assert len(path.read_text().splitlines()) == 9


@pytest.mark.parametrize("header", [True, False])
def test_a_table_keeps_what_its_reading_left_out(tmp_path: Path, header):
    """A line above the header, blanks around values, a broken byte, long numbers beside a gap."""
    rows = ["Müller ;9007199254740993", "Jürgen;", "\u00a0Café;9007199254740995", "Caf?;5"]
    content = "\n".join(["sep=;", *["name;id;"] * header, *rows, ""])
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode().replace(b"?", b"\xe9"))
    profile = profile_table(path, given=ReadingOptions(header=header))
    text = f'How many "{profile.columns[0].name}" are there?'
    question = Question(
        id="q",
        text=text,
        answer_type="number",
        source="template",
        truth=4,
        family="f",
        difficulty="easy",
    )
    task = Task(question=question, tables=[table_ref(profile, tmp_path)], paths=[path])
    (made,) = with_renamed_columns([task], tmp_path / "made", seed=0)
    before = read_table(path, profile.reading)
    after = read_table(made.paths[0], made.tables[0].reading)
    assert before.iloc[:, 0].tolist() == ["Müller", "Jürgen", "Café", "Caf\ufffd"]
    assert_frame_equal(after, before.set_axis(["column_a", "column_b"], axis=1))


def test_a_solution_that_does_not_come_to_the_old_truth_is_left_out(tasks, tmp_path: Path):
    odd = tasks[0].question.model_copy(update={"code": "submit(12345)"})
    broken = tasks[1].question.model_copy(update={"code": "1 / 0"})
    changed = [
        Task(question=q, tables=tasks[0].tables, paths=tasks[0].paths) for q in (odd, broken)
    ]
    assert with_renamed_columns([*changed, *tasks[2:]], tmp_path, seed=0) == with_renamed_columns(
        tasks[2:], tmp_path, seed=0
    )


def question(text: str, code: str | None, truth) -> Question:
    return Question(
        id="q", text=text, answer_type="text", source="template", family="f", difficulty="easy",
        code=code, truth=truth,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "asked"),
    [
        ('Mean of "a" where "b" is "a b"?', 'df["a"]', 'Mean of "x" where "y" is "a b"?'),
        ("Which column varies most?", "df.std().idxmax()", "Which column varies most?"),
        ("What did people earn?", "df['a']", None),
        ("What did people earn?", None, None),
        ('Mean of "a"?', None, 'Mean of "x"?'),
    ],
)
def test_only_what_can_be_answered_with_other_names_is_asked(text, code, asked):
    found = _renamed_question(question(text, code, "a"), {"a": "x", "b": "y"})
    assert (found and found.text) == asked
    if found:
        assert found.truth == "x"
        assert "a" not in (found.code or "").replace("idxmax", "")


def test_nothing_is_known_of_an_emptied_table_in_the_sandbox(tasks, tmp_path: Path):
    import asyncio

    class Counting:
        name = "counting"

        async def reply(self, messages, *, session):
            return Reply(text=as_reply("submit(int(df.notna().sum().sum()))"))

    (task,) = with_empty_tables(tasks[:1], tmp_path / "floor")
    with start_sandbox(task) as sandbox:
        trace = asyncio.run(solve(task, Counting(), sandbox, session="s"))
    assert trace.answer == 0
