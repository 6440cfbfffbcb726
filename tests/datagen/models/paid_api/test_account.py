"""The whole path against the fake: what is asked, paid, recorded, replayed, and what stops it."""

import asyncio
import json
import time
from decimal import Decimal

import pytest

from datagen.models.paid_api import account as account_module
from datagen.models.paid_api.account import open_account, replay_account
from datagen.models.paid_api.model import ALL_ALIKE
from datagen.models.protocol import NoReply, Reply
from tests.datagen.models.paid_api.conftest import ask, asked, kind, question
from tests.openrouter.mishaps import MODERATION, Mishap
from trainer.contract.command.errors import (
    BadJob,
    BudgetSpent,
    NotRecorded,
    TeacherRefused,
    TeacherUnavailable,
)


def test_a_reply_says_what_it_cost_and_who_gave_it(fake, settings, ledger):
    (reply,) = asked(settings(), ledger, "e1/1")
    assert reply.text == "```python\nsubmit(len(df))\n```"
    assert reply.cost == fake.bill.total
    assert (reply.provider, reply.quantization) in {("Plain Cloud", "bf16"), ("Quick Inc", "fp8")}
    assert reply.finish_reason == "stop"
    assert reply.generation == fake.bill.charges[0].generation
    assert reply.prompt_tokens > 0
    assert reply.completion_tokens > reply.reasoning_tokens == 20


def test_what_is_sent(fake, settings, ledger):
    asked(settings(reasoning_effort="low", providers="quick-inc, plain-cloud"), ledger, "e1/1")
    assert fake.requests[0] == {
        "model": "openai/gpt-oss-120b",
        "messages": [m.model_dump() for m in question()],
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 1000,
        "reasoning": {"effort": "low"},
        "provider": {
            "require_parameters": True,
            "enforce_distillable_text": True,
            "only": ["quick-inc", "plain-cloud"],
            "order": ["quick-inc", "plain-cloud"],
            "max_price": {"prompt": 0.15, "completion": 0.6},
        },
        "session_id": "e1/1",
    }


def test_an_api_that_is_not_openrouters_gets_no_extras_and_no_key(fake, settings, ledger):
    fake.key = "none"
    plain = settings(openrouter=None, max_cost=None)
    (reply,) = asked(plain, ledger, "e1/1")
    assert isinstance(reply, Reply)
    assert set(fake.requests[0]) == {"model", "messages", "temperature", "top_p", "max_tokens"}


def test_no_call_is_paid_twice_and_sessions_are_independent(fake, settings, ledger):
    first = asked(settings(), ledger, "e1/1", "e1/2", "e1/1")
    assert fake.asked == 2
    assert first[0] == first[2]
    again = asked(settings(max_cost=2), ledger, "e1/2", "e1/1")
    assert again == [first[1], first[0]]
    assert fake.asked == 2
    asked(settings(temperature=0.5), ledger, "e1/1")
    assert fake.asked == 3


@pytest.mark.parametrize(
    "mishap",
    [
        Mishap("status", status=429, retry_after="0.01"),
        Mishap("status", status=500),
        Mishap("status", status=503),
        Mishap(
            "status",
            status=402,
            retry_after="0.01",
            metadata={"limit_source": "openrouter_in_flight_budget"},
        ),
        Mishap("html", status=502),
        Mishap("error in 200", status=502),
        Mishap("error in 200", status=400),
        Mishap("no choices"),
        Mishap("finish", reason="error"),
        Mishap("empty"),
    ],
    ids=lambda m: f"{m.kind} {m.status}",
)
def test_what_may_pass_is_tried_again_and_the_bill_agrees(fake, settings, ledger, mishap):
    fake.will(mishap)
    with open_account(settings(), ledger=ledger) as account:
        (reply,) = asyncio.run(ask(account, "e1/1"))
        status = account.status()
    assert isinstance(reply, Reply)
    assert fake.asked == 2
    assert (status.answered, status.retries) == (1, 1)
    assert status.spent == fake.bill.total
    assert status.uncertain == status.reserved == 0
    with open_account(settings(), ledger=ledger) as account:
        assert account.budget.spent == fake.bill.total


def test_an_api_that_is_not_there_costs_nothing(settings, ledger):
    away = settings(base_url="http://127.0.0.1:9/v1", openrouter=None, max_cost=None)
    with open_account(away, ledger=ledger) as account:
        (found,) = asyncio.run(ask(account, "e1/1"))
        assert isinstance(found, TeacherUnavailable)
        assert account.status().spent == 0
    endings = [json.loads(line)["stage"] for line in ledger.read_bytes().splitlines()]
    assert endings == ["intent", "failed"] * 6


def test_a_cut_reply_is_no_success_and_is_paid_for_once(fake, settings, ledger):
    for _ in range(2):
        (found,) = asked(settings(max_tokens=22), ledger, "e1/1")
        assert kind(found) == "length"
        assert found.reply.cost == fake.bill.total
    assert fake.asked == 1


def test_tries_end(fake, settings, ledger):
    fake.will(*[Mishap("status", status=500)] * 6)
    (found,) = asked(settings(), ledger, "e1/1")
    assert kind(found) == "TeacherUnavailable"
    assert fake.asked == 6
    fake.will(None, *[Mishap("status", status=500)] * 6)

    async def one_after_the_other(account):
        async with account.connected():
            await account.teacher.reply(question(), session="e1/1")
            slow = asyncio.create_task(account.teacher.reply(question("2"), session="e2/1"))
            await asyncio.sleep(0.02)
            account.teacher.tally.answer()
            with pytest.raises(NoReply, match="unavailable"):
                await slow

    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(one_after_the_other(account))


@pytest.mark.parametrize(
    ("mishap", "fault"),
    [
        (Mishap("status", status=401), TeacherRefused),
        (Mishap("status", status=404), TeacherRefused),
        (Mishap("status", status=400), TeacherRefused),
        (Mishap("status", status=403), TeacherRefused),
        (Mishap("status", status=402), BudgetSpent),
        (Mishap("status", status=403, message="Key limit exceeded (total limit)"), BudgetSpent),
    ],
)
def test_what_will_not_pass_ends_the_run(fake, settings, ledger, mishap, fault):
    fake.will(mishap)
    (found,) = asked(settings(), ledger, "e1/1")
    assert isinstance(found, fault)
    assert str(mishap.status) in found.cause
    assert fake.key not in str(found)
    assert fake.asked == 1


FLAGGED = Mishap("status", status=403, message="flagged", metadata=MODERATION)


@pytest.mark.parametrize(
    ("others", "mishap", "said"),
    [
        (0, FLAGGED, "refused: HTTP 403: flagged (violence)"),
        (3, FLAGGED, "refused: HTTP 403: flagged (violence)"),
        (
            3,
            Mishap("error in 200", status=403, message="flagged", metadata=MODERATION),
            "refused: HTTP 200 with error 403: flagged (violence)",
        ),
    ],
)
def test_a_flagged_prompt_fails_alone_also_as_the_first(
    fake, settings, ledger, others, mishap, said
):
    fake.latency = 0.2
    fake.will(mishap)
    found = asked(settings(), ledger, *(f"s{n}" for n in range(1 + others)))
    refused = [one for one in found if not isinstance(one, Reply)]
    assert [str(one) for one in refused] == [said]
    assert kind(refused[0]) == "refused"
    assert fake.asked == 1 + others


def test_a_request_that_is_refused_fails_alone_once_another_passed(fake, settings, ledger):
    asked(settings(), ledger, "e1/1")
    fake.will(Mishap("status", status=400, message="bad"))

    async def both(account):
        async with account.connected():
            await account.teacher.reply(question(), session="e1/1")
            with pytest.raises(NoReply, match=r"refused: HTTP 400: bad"):
                await account.teacher.reply(question(), session="e2/1")

    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(both(account))


def test_a_request_refused_before_any_other_passed_stays_open_while_others_are_in_flight(
    fake, settings, ledger
):
    fake.latency = 0.2
    fake.will(Mishap("status", status=400, message="bad"))
    found = asked(settings(), ledger, "s1", "s2")
    assert sorted(map(kind, found)) == ["Reply", "unavailable"]


@pytest.mark.parametrize(
    ("what", "cause"),
    [("thoughts", "thoughts and no text"), ("tool calls", "tool calls and no text")],
)
def test_a_reply_without_text_fails_alone_and_is_paid_for_once(fake, settings, ledger, what, cause):
    fake.will(Mishap(what))
    for _ in range(2):
        found, other = asked(settings(concurrency=1), ledger, "s1", "s2")
        assert str(found) == f"no text: {cause}"
        assert found.reply.cost > 0
        assert isinstance(other, Reply)
    assert fake.asked == 2
    with open_account(settings(), ledger=ledger) as account:
        assert account.status().spent == fake.bill.total
        assert account.status().uncertain == 0


@pytest.mark.parametrize(
    ("mishap", "said"),
    [
        (Mishap("thoughts"), "no text: thoughts and no text"),
        (FLAGGED, "refused: HTTP 403: flagged (violence)"),
        (Mishap("status", status=400, message="bad"), "HTTP 400: bad"),
    ],
)
def test_when_no_call_is_usable_the_run_ends_and_says_why(fake, settings, ledger, mishap, said):
    fake.script.shares = [(1.0, mishap)]
    found = asked(settings(concurrency=4), ledger, *(f"s{n}" for n in range(ALL_ALIKE + 4)))
    faults = [one for one in found if isinstance(one, TeacherRefused)]
    assert faults
    assert f"none of the first {ALL_ALIKE} calls got a usable reply" in faults[0].cause
    assert faults[0].cause.endswith(said)
    assert "later" not in faults[0].hint


def test_the_keys_own_limit_is_a_second_guard(fake, settings, ledger):
    fake.bill.key_limit = Decimal("0.0005")
    with open_account(settings(), ledger=ledger) as account:
        assert account.notices == [
            "the OpenRouter key has $0.0005 left: the cost limit is lowered to that"
        ]
        assert account.status().limit == Decimal("0.0005")
    fake.bill.key_limit = Decimal(0)
    with pytest.raises(BudgetSpent, match="used up its own limit"):
        asked(settings(), ledger)


@pytest.mark.parametrize(
    ("changes", "fault", "said"),
    [
        ({"teacher_model": "openai/gpt-os-120b"}, TeacherRefused, "did you mean openai/gpt-oss"),
        ({"teacher_model": "closed/frontier"}, TeacherRefused, "may be trained on"),
        ({"teacher_model": "varied/router"}, BadJob, "the price of varied/router is unknown"),
        ({"openrouter": None}, BadJob, "the price of openai/gpt-oss-120b is unknown"),
        ({"key_name": "OTHER_KEY"}, TeacherRefused, "no key for"),
    ],
)
def test_what_is_refused_before_the_first_call(settings, ledger, changes, fault, said):
    with pytest.raises(fault, match=said):
        asked(settings(**changes), ledger)


def test_an_unknown_key_is_refused_before_the_first_call(fake, settings, ledger):
    fake.key = "sk-other"
    with pytest.raises(TeacherRefused, match="HTTP 401: User not found") as refused:
        asked(settings(), ledger)
    assert refused.value.hint.startswith(
        "the API rejects the key in environment variable OPENROUTER_API"
    )
    assert "put a valid key there" in refused.value.hint
    assert not ledger.parent.exists()


def test_opting_out_of_distillable_text_is_loud(fake, settings, ledger):
    loose = settings(enforce_distillable=False, teacher_model="closed/frontier")
    with open_account(loose, ledger=ledger) as account:
        assert any(
            line.startswith("WARNING: enforce_distillable is off") for line in account.notices
        )
        (reply,) = asyncio.run(ask(account, "e1/1"))
        assert isinstance(reply, Reply)
        assert account.licence("closed/frontier") == "not stated"
    assert "enforce_distillable_text" not in fake.requests[0]["provider"]


def test_stated_prices_and_free_models(fake, settings, ledger):
    free = settings(openrouter=None, price="0/0", key_name="OPENROUTER_API_KEY")
    with open_account(free, ledger=ledger) as account:
        asyncio.run(ask(account, "e1/1"))
        # What the API says it charged comes before our own reckoning.
        assert account.status().spent == fake.bill.total


def test_several_models_share_one_account(fake, settings, ledger):
    both = settings(question_gen_model="qwen/qwen3-32b")

    async def work(account):
        async with account.connected():
            await account.teacher.reply(question(), session="s")
            await account.question_gen.reply(question(), session="s")

    with open_account(both, ledger=ledger) as account:
        assert account.audit is None
        asyncio.run(work(account))
        status = account.status()
    assert [request["model"] for request in fake.requests] == list(account.models)
    assert status.spent == fake.bill.total
    assert status.projected(2, 10) == 5 * fake.bill.total


def test_no_model_waits_for_anothers_connections(fake, settings, ledger):
    fake.latency = 0.5
    both = settings(question_gen_model="qwen/qwen3-32b", concurrency=3)

    async def work(account):
        async with account.connected():
            await asyncio.gather(
                *(
                    model.reply(question(), session=session)
                    for model in (account.teacher, account.question_gen)
                    for session in "abc"
                )
            )

    with open_account(both, ledger=ledger) as account:
        asyncio.run(work(account))
    assert fake.most_at_once == 6


def test_the_recorded_teacher_needs_no_key_and_no_network(fake, settings, ledger, monkeypatch):
    wanted = settings()
    first = asked(wanted, ledger, "e1/1", "e1/2")
    content = ledger.read_bytes()
    monkeypatch.delenv("OPENROUTER_API_KEY")
    with replay_account(wanted, recording=ledger) as account:
        again = asyncio.run(ask(account, "e1/1", "e1/2", "e1/3"))
        assert account.status().replayed == 2
    assert again[:2] == first
    assert isinstance(again[2], NotRecorded)
    assert "turn 0 of session 'e1/3'" in again[2].cause
    assert ledger.read_bytes() == content
    assert fake.asked == 2


def test_cancelling_takes_back_what_is_not_sent_and_records_what_is(fake, settings, ledger):
    fake.latency = 0.3

    async def work(account):
        async with account.connected():
            tasks = [
                asyncio.create_task(account.teacher.reply(question(), session=f"s{n}"))
                for n in range(3)
            ]
            await asyncio.sleep(0.15)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.5)  # there is room now, and nobody who asks

    with open_account(settings(concurrency=2), ledger=ledger) as account:
        asyncio.run(work(account))
        assert account.status().spent == fake.bill.total > 0
        assert account.status().reserved == 0
        assert account.status().waiting == 0
    assert fake.asked == 2
    fake.latency = 0
    asked(settings(), ledger, "s0", "s1", "s2")
    assert fake.asked == 3


def test_a_run_that_fails_sends_nothing_more(fake, settings, ledger):
    """One call is on its way and would be tried again, two wait for its place, and all are waited for."""
    fake.latency = 0.5
    fake.will(Mishap("error in 200", status=503))

    async def work(account):
        async with account.connected():
            tasks = [
                asyncio.create_task(account.teacher.reply(question(), session=f"s{n}"))
                for n in range(3)
            ]
            while not account.status().in_flight:  # noqa: ASYNC110 - a count, no event
                await asyncio.sleep(0.01)
            assert len(tasks) == 3
            raise ZeroDivisionError

    with open_account(settings(concurrency=1), ledger=ledger) as account:
        with pytest.raises(ZeroDivisionError):
            asyncio.run(work(account))
        assert account.status().reserved == 0
        assert account.status().waiting == 0
    assert fake.asked == 1


def test_a_refusal_takes_away_nothing_that_was_there(fake, settings, ledger):
    ledger.parent.mkdir()
    ledger.touch()
    fake.key = "sk-other"
    with pytest.raises(TeacherRefused):
        asked(settings(), ledger)
    assert ledger.read_bytes() == b""
    ledger.unlink()
    (ledger.parent / "mine").touch()
    with pytest.raises(TeacherRefused):
        asked(settings(), ledger)
    assert [path.name for path in ledger.parent.iterdir()] == ["mine"]


def test_leaving_by_ctrl_c_is_prompt_and_what_was_sent_stays_in_flight(
    fake, settings, ledger, monkeypatch
):
    monkeypatch.setattr(account_module, "DRAIN_SECONDS", 0.1)
    fake.will(Mishap("hang"))

    async def interrupted(account):
        asking = asyncio.create_task(ask(account, "s0"))
        while not account.status().in_flight:  # noqa: ASYNC110 - a count, no event
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    with open_account(settings(timeout=60.0), ledger=ledger) as account:
        started = time.monotonic()
        asyncio.run(interrupted(account))
        assert time.monotonic() - started < 30
        spent = account.status().spent
        assert spent == account.status().uncertain > 0
        assert account.status().reserved == 0
    with open_account(settings(), ledger=ledger) as account:
        assert account.notices[0].startswith("1 calls were in flight when an earlier run ended")
        assert account.status().spent == spent


def test_models_and_licences_are_those_of_the_settings(fake, settings, ledger):
    plain = settings()
    with open_account(plain, ledger=ledger) as account:
        assert account.teacher.name == account.question_gen.name == "openai/gpt-oss-120b"
        assert account.audit is None
        assert account.licence("openai/gpt-oss-120b") == "Apache-2.0"
        assert account.licence("qwen/qwen3-32b") == "not stated"
    stated = settings(
        question_gen_model="qwen/qwen3-32b", audit_model="qwen/qwen3-32b", teacher_licence="mine"
    )
    with open_account(stated, ledger=ledger) as account:
        assert account.teacher.name == "openai/gpt-oss-120b"
        assert account.question_gen is account.audit is account.models["qwen/qwen3-32b"]
        assert account.licence("openai/gpt-oss-120b") == "mine"
        assert account.licence("qwen/qwen3-32b") == "not stated"
        assert account.licence("openai/gpt-oss-20b") == "Apache-2.0"
        assert account.sampling["temperature"] == stated.temperature


def test_the_status_adds_up_over_models_and_tells_this_process_from_earlier_ones(
    fake, settings, ledger
):
    asked(settings(), ledger, "e1/1")
    before = fake.bill.total
    both = settings(audit_model="qwen/qwen3-32b", concurrency=3)

    async def work(account):
        async with account.connected():
            for model in (account.teacher, account.audit, account.audit):
                await model.reply(question(), session="e1/1")

    with open_account(both, ledger=ledger) as account:
        asyncio.run(work(account))
        status = account.status()
    assert fake.asked == 2
    assert (status.answered, status.replayed, status.retries) == (1, 2, 0)
    assert status.in_flight == status.waiting == status.reserved == 0
    assert status.spent == fake.bill.total > before
    assert status.limit == 1
    assert status.per_minute >= 1
    assert [model.tally.answered for model in account.models.values()] == [0, 1]


def test_what_was_in_flight_when_a_run_died_is_told(fake, settings, ledger):
    asked(settings(), ledger, "e1/1", "e1/2")
    intents = [line for line in ledger.read_bytes().splitlines(True) if b'"intent"' in line]
    assert len(intents) == 2
    ledger.write_bytes(b"".join(intents))
    worst = sum(Decimal(json.loads(line)["worst"]) for line in intents)
    with open_account(settings(), ledger=ledger) as account:
        (told,) = account.notices
        assert told.startswith("2 calls were in flight when an earlier run ended: they count as ")
        assert f" ${worst:.4f}, their highest possible cost, and will be sent again" in told
        assert account.status().spent == account.status().uncertain == worst
