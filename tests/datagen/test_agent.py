import asyncio

from datagen.agent import solve
from datagen.generate import Task
from datagen.models import ScriptedTeacher
from datagen.prompts.render import NO_BLOCK, as_reply, opening
from datagen.sandbox import Sandbox


def run(task: Task, replies: list[str]):
    teacher = ScriptedTeacher({opening(task.question, task.tables)[-1].content: replies})
    with Sandbox({"shop": task.paths[0]}) as sandbox:
        return asyncio.run(solve(teacher, task.question, task.tables, sandbox, session="s"))


def test_variables_live_across_turns_and_the_answer_ends_the_trace(tasks: list[Task]):
    trace = run(
        tasks[0], [as_reply("x = len(df)\nprint(x)"), as_reply("submit(x)"), as_reply("submit(0)")]
    )
    assert [t.feedback for t in trace.turns] == ["8", None]
    assert trace.submitted
    assert trace.answer == 8
    assert [m.role for m in trace.messages()] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]


def test_an_error_is_fed_back_and_can_be_repaired(tasks: list[Task]):
    trace = run(tasks[0], [as_reply('submit(df["ctiy"].nunique())'), as_reply("submit(3)")])
    assert trace.turns[0].error
    assert trace.turns[0].feedback == "KeyError: 'ctiy'"
    assert trace.answer == 3


def test_a_reply_without_code_costs_a_turn(tasks: list[Task]):
    trace = run(tasks[0], ["hm", "hm", "hm", as_reply("submit(1)")])
    assert [t.feedback for t in trace.turns] == [NO_BLOCK, NO_BLOCK, None]
    assert not trace.submitted
    assert trace.answer is None
