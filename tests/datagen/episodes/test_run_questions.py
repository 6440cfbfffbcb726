import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.episode import Episode
from datagen.episodes.attempts import Task
from datagen.episodes.journal import Journal
from datagen.episodes.run_questions import attempt_all, fill_journal, table_ref
from datagen.episodes.scripted_teacher import scripted_teacher
from datagen.models.protocol import NoReply, Reply, ScriptedTeacher
from datagen.prompts.render import as_reply, opening
from datagen.tables.table import profile_table
from tests.datagen.answered import solver
from trainer.contract.command.errors import BudgetSpent, TeacherUnavailable


def asked(episodes: list[Episode]) -> list[str]:
    return [episode.question.id for episode in episodes]


def test_the_scripted_teacher_is_right_about_every_question(tasks: list[Task], tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    episodes = attempt_all(tasks, solver(scripted_teacher(tasks, seed=0)), journal=journal)
    assert asked(episodes) == [task.question.id for task in tasks]
    assert all(episode.verdict.verified for episode in episodes), [e.verdict for e in episodes]
    assert {e.provenance.model for e in episodes} == {"scripted"}


def test_wrong_and_missing_answers_are_not_verified(tasks: list[Task], tmp_path: Path):
    class Stubborn(ScriptedTeacher):
        async def reply(self, messages, *, session):
            reply = await super().reply(messages, session=session)
            return type(reply)(text=as_reply("submit('no')"))

    episodes = attempt_all(tasks[:3], solver(Stubborn({})), journal=tmp_path / "a")
    assert not any(e.verdict.verified for e in episodes)
    silent = attempt_all(tasks[:3], solver(ScriptedTeacher({})), journal=tmp_path / "b")
    assert {e.verdict.rule for e in silent} == {"not submitted"}


def test_a_torn_journal_is_taken_up_without_asking_again(tasks: list[Task], tmp_path: Path):
    journal = tmp_path / "journal.jsonl"
    teacher = scripted_teacher(tasks, seed=0)
    whole = attempt_all(tasks, solver(teacher), journal=journal)
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
    again = attempt_all(tasks, solver(counting), journal=journal)
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
    (episode,) = attempt_all([task], solver(teacher), journal=tmp_path / "j")
    assert episode.traces[0].answer == [8, 8, 2]
    assert [table.name for table in episode.tables] == ["shop", "regions"]


def test_a_question_that_got_no_reply_is_asked_again_and_no_other(
    tasks: list[Task], tmp_path: Path
):
    teacher = scripted_teacher(tasks, seed=0)
    asked: list[str] = []

    class Patchy(type(teacher)):  # type: ignore[misc]
        up = False

        async def reply(self, messages, *, session):
            asked.append(session)
            if messages[1].content.endswith(tasks[2].question.text) and not self.up:
                raise NoReply("unavailable", "503")
            return await super().reply(messages, session=session)

    patchy = Patchy(teacher.scripts)
    with Journal(tmp_path / "j") as journal:
        assert asyncio.run(fill_journal(journal, tasks, solver(patchy))) == 1
        assert len(journal) == len(tasks) - 1
        patchy.up = True
        asked.clear()
        assert asyncio.run(fill_journal(journal, tasks, solver(patchy))) == 0
        assert len({session.partition("/")[0] for session in asked}) == 1
        assert len(journal) == len(tasks)
    patchy.up = False
    with pytest.raises(TeacherUnavailable, match=f"1 of {len(tasks)} questions"):
        attempt_all(tasks, solver(patchy), journal=tmp_path / "k")


def test_a_fault_ends_the_run_as_itself_and_what_had_ended_is_kept(
    tasks: list[Task], tmp_path: Path
):
    teacher = scripted_teacher(tasks, seed=0)

    class Dear(type(teacher)):  # type: ignore[misc]
        async def reply(self, messages, *, session):
            if messages[1].content.endswith(tasks[6].question.text):
                raise BudgetSpent("spent")
            return await super().reply(messages, session=session)

    kept: list[Episode] = []
    with Journal(tmp_path / "j") as journal:
        one = replace(solver(Dear(teacher.scripts)), concurrency=1)
        run = fill_journal(journal, tasks, one, kept=kept.append)
        with pytest.raises(BudgetSpent):
            asyncio.run(run)
        assert asked(kept) == [task.question.id for task in tasks[:6]]
        assert asked([*journal.episodes()]) == asked(kept)


def test_tasks_are_taken_from_a_stream_as_there_is_room(tasks: list[Task], tmp_path: Path):
    taken: list[int] = []

    def stream():
        for n, task in enumerate(tasks):
            taken.append(n)
            yield task

    class Held(ScriptedTeacher):
        async def reply(self, messages, *, session):
            await asyncio.sleep(0.05)
            return Reply(text=as_reply("submit(1)"))

    ahead: list[int] = []
    three = replace(solver(Held({})), concurrency=3)
    with Journal(tmp_path / "j") as journal:
        done: list[Episode] = []

        def kept(episode: Episode) -> None:
            done.append(episode)
            ahead.append(len(taken) - len(done))

        asyncio.run(fill_journal(journal, stream(), three, kept=kept))
    assert len(done) == len(tasks)
    assert max(ahead) <= 3
