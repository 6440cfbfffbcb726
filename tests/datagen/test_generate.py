import json
from dataclasses import replace
from pathlib import Path

from datagen.episode import Episode
from datagen.generate import Task, attempt_all, table_ref
from datagen.models import ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.questions.teach import scripted_teacher
from datagen.tables import profile_table


def asked(episodes: list[Episode]) -> list[str]:
    return [episode.question.id for episode in episodes]


def test_the_scripted_teacher_is_right_about_every_question(tasks: list[Task], tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    episodes = attempt_all(tasks, scripted_teacher(tasks, seed=0), seed=0, journal=journal)
    assert asked(episodes) == [task.question.id for task in tasks]
    assert all(episode.verdict.verified for episode in episodes), [e.verdict for e in episodes]
    assert {e.provenance.model for e in episodes} == {"scripted"}


def test_wrong_and_missing_answers_are_not_verified(tasks: list[Task], tmp_path: Path):
    class Stubborn(ScriptedTeacher):
        async def reply(self, messages, *, session):
            reply = await super().reply(messages, session=session)
            return type(reply)(text=as_reply("submit('no')"))

    episodes = attempt_all(tasks[:3], Stubborn({}), seed=0, journal=tmp_path / "a")
    assert not any(e.verdict.verified for e in episodes)
    silent = attempt_all(tasks[:3], ScriptedTeacher({}), seed=0, journal=tmp_path / "b")
    assert {e.verdict.rule for e in silent} == {"not submitted"}


def test_a_torn_journal_is_taken_up_without_asking_again(tasks: list[Task], tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    teacher = scripted_teacher(tasks, seed=0)
    whole = attempt_all(tasks, teacher, seed=0, journal=journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    kept = {json.loads(line)["id"] for line in lines[:5]}
    questions = {task.question.id for task, e in zip(tasks, whole, strict=True) if e.id not in kept}

    class Counting(type(teacher)):  # type: ignore[misc]
        calls: list[str] = []  # noqa: RUF012

        async def reply(self, messages, *, session):
            self.calls.append(messages[1].content)
            return await super().reply(messages, session=session)

    counting = Counting(teacher.scripts)
    again = attempt_all(tasks, counting, seed=0, journal=journal)
    assert asked(again) == asked(whole)
    assert len(set(counting.calls)) == len(questions)
    assert {json.loads(line)["id"] for line in journal.read_bytes().splitlines()} == {
        e.id for e in whole
    }


def test_a_question_about_two_tables_has_the_first_as_df_and_both_by_name(
    tasks: list[Task], tmp_path: Path
):
    other = tmp_path / "regions.csv"
    other.write_text("city,region\nUlm,south\nBonn,west\n", "utf-8")
    ref = table_ref(profile_table(other), tmp_path)
    task = replace(tasks[0], tables=[*tasks[0].tables, ref], paths=[*tasks[0].paths, other])
    code = 'submit([len(df), *(len(tables[name]) for name in ("shop", "regions"))])'
    teacher = ScriptedTeacher({opening(task.question, task.tables)[-1].content: [as_reply(code)]})
    (episode,) = attempt_all([task], teacher, seed=0, journal=tmp_path / "j")
    assert episode.traces[0].answer == [8, 8, 2]
    assert [table.name for table in episode.tables] == ["shop", "regions"]
