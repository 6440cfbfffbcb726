import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from datagen.episode import Message
from datagen.episodes.agent import solve
from datagen.episodes.attempts import Task
from datagen.models.protocol import NoReply, Reply, ScriptedTeacher
from datagen.prompts.render import NO_BLOCK, as_reply, opening
from datagen.sandbox import Sandbox


def run(task: Task, replies: list[str]):
    teacher = ScriptedTeacher({opening(task.question, task.tables)[-1].content: replies})
    with Sandbox({"shop": task.paths[0]}) as sandbox:
        return asyncio.run(solve(task, teacher, sandbox, session="s"))


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


class Said:
    """A model that gives these replies; an exception is raised."""

    name = "said"

    def __init__(self, *replies: Reply | NoReply):
        self.replies = iter(replies)

    async def reply(self, messages, *, session):
        reply = next(self.replies)
        if isinstance(reply, NoReply):
            raise reply
        return reply


def attempt(task: Task, *replies: Reply | NoReply, style="brief", **options):
    task = replace(task, style=style)
    with Sandbox({"shop": task.paths[0]}) as sandbox:
        return asyncio.run(solve(task, Said(*replies), sandbox, session="s", **options))


def test_the_full_style_has_eight_turns_and_says_how_many_are_left(tasks: list[Task]):
    trace = attempt(tasks[0], *[Reply(text=as_reply("print(1)"))] * 9, style="full")
    assert len(trace.turns) == 8
    assert [t.feedback for t in trace.turns[-3:]] == [
        "1\n(2 turns left)",
        "1\n(last turn: submit the answer now)",
        None,
    ]
    assert "You have 8 turns" in trace.opening[0].content
    assert not trace.submitted


def test_a_reply_that_was_cut_off_runs_nothing_and_costs_a_turn(tasks: list[Task]):
    cut = Reply(text=as_reply("submit(1)"), finish_reason="length")
    trace = attempt(tasks[0], cut, Reply(text=as_reply("submit(2)")), style="full", turn_limit=2)
    assert trace.turns[0].error
    assert trace.turns[0].code is None
    assert "cut off" in str(trace.turns[0].feedback)
    assert trace.answer == 2


def test_no_reply_fails_the_attempt_and_keeps_what_was_paid(tasks: list[Task]):
    first = Reply(text=as_reply("x = 1"), cost=Decimal("0.01"), prompt_tokens=5, provider="P")
    last = Reply(text="I think", cost=Decimal("0.02"), completion_tokens=9, quantization="fp8")
    trace = attempt(tasks[0], first, NoReply("length", "4096 tokens", reply=last), style="full")
    assert (trace.failure, trace.submitted, trace.cost) == ("length: 4096 tokens", False, 0.03)
    assert (trace.prompt_tokens, trace.completion_tokens) == (5, 9)
    assert (trace.providers, trace.quantizations) == (["P"], ["fp8"])
    assert [turn.reply for turn in trace.turns] == [as_reply("x = 1"), "I think"]
    assert not trace.refused
    refused = attempt(tasks[0], NoReply("refused", "too long"))
    assert refused.failure == "refused: too long"
    assert refused.refused


def test_an_unavailable_model_leaves_the_attempt_undecided(tasks: list[Task]):
    with pytest.raises(NoReply, match="unavailable"):
        attempt(tasks[0], NoReply("unavailable", "503"))


def test_what_was_sent_is_what_is_stored(tasks: list[Task]):
    class Listening(Said):
        heard: list[list[Message]] = []  # noqa: RUF012

        async def reply(self, messages, *, session):
            self.heard.append([*messages])
            return await super().reply(messages, session=session)

    model = Listening(Reply(text="hm"), Reply(text=as_reply("df.x")), Reply(text=as_reply("1")))
    with Sandbox({"shop": tasks[0].paths[0]}) as sandbox:
        task = replace(tasks[0], style="full")
        trace = asyncio.run(solve(task, model, sandbox, session="s", turn_limit=3))
    assert trace.messages()[:-1] == model.heard[-1]


def test_no_process_is_forked_before_there_is_code(tasks: list[Task]):
    opened = []

    class Watching(Sandbox):
        def open(self, *args, **options):
            opened.append(args)
            return super().open(*args, **options)

    with Watching({"shop": tasks[0].paths[0]}) as sandbox:
        model = Said(Reply(text="hm"), Reply(text="hm"), Reply(text="hm"))
        asyncio.run(solve(tasks[0], model, sandbox, session="s"))
        assert opened == []
