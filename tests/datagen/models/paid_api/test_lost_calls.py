"""What is booked is what an emulator of OpenRouter charged, however connections ended; the emulator's bill is the judge."""

import asyncio
import json
from decimal import Decimal

import pytest

from datagen.models.paid_api import lost_calls
from datagen.models.paid_api.account import open_account
from datagen.models.protocol import Reply
from tests.datagen.models.paid_api.conftest import ask, asked, question
from tests.openrouter.mishaps import Kind, Mishap
from trainer.contract.command.errors import BudgetSpent

LOST: list[Kind] = ["drop", "cut", "garbage", "hang"]


def worst(ledger) -> Decimal:
    return Decimal(json.loads(ledger.read_bytes().splitlines()[0])["worst"])


@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("what", LOST)
def test_a_lost_call_is_booked_at_what_the_key_was_charged(fake, settings, ledger, what, charged):
    fake.bill.elsewhere = Decimal("12.345")  # before this run
    fake.will(Mishap(what, charged=charged))
    with open_account(settings(timeout=0.3), ledger=ledger) as account:
        (reply,) = asyncio.run(ask(account, "e1/1"))
        status = account.status()
        assert sum(account.lost().values()) == 1
        assert "for lost calls (counted as" in str(account.settled)
    assert isinstance(reply, Reply)
    assert status.spent == fake.bill.total
    assert status.uncertain == 0
    with open_account(settings(), ledger=ledger) as account:
        assert account.status().spent == fake.bill.total
        assert account.status().uncertain == 0
        assert account.notices == []


def test_a_misbehaving_provider_is_booked_to_the_last_digit(fake, settings, ledger, monkeypatch):
    """Its charges show in the key's usage late, but within the wait before that is read."""
    monkeypatch.setattr(lost_calls, "SETTLE_SECONDS", 0.3)
    fake.script.shares = [
        (0.1, Mishap(what, charged=flag)) for what in LOST[:3] for flag in (True, False)
    ]
    fake.script.shares += [(0.1, Mishap("status", status=503)), (0.1, Mishap("thoughts"))]
    fake.bill.lag = 0.2
    for run in range(3):
        with open_account(settings(), ledger=ledger) as account:
            asyncio.run(ask(account, *(f"s{run}/{n}" for n in range(40))))
            assert account.lost()
            assert account.status().spent == fake.bill.total
            assert account.status().uncertain == 0
    with open_account(settings(), ledger=ledger) as account:
        assert account.status().spent == fake.bill.total


def test_where_the_key_is_used_elsewhere_lost_calls_count_at_their_worst(fake, settings, ledger):
    fake.will(Mishap("drop"))

    async def with_others(account):
        async with account.connected():
            await account.teacher.reply(question(), session="s")
            fake.bill.elsewhere += 1

    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(with_others(account))
        assert account.status().uncertain == worst(ledger)
        assert fake.bill.total < account.status().spent
        assert "their highest possible cost: the key's usage changed by $1.00" in str(
            account.settled
        )
    with open_account(settings(), ledger=ledger) as account:
        assert account.status().uncertain == worst(ledger)


def test_a_provider_that_does_not_report_leaves_the_worst_case(fake, settings, ledger, monkeypatch):
    monkeypatch.setattr(lost_calls, "MOST_SECONDS", 0.2)
    fake.will(Mishap("drop"))
    with open_account(settings(), ledger=ledger) as account:
        fake.bill.lag = 60.0
        asyncio.run(ask(account, "s"))
        assert account.status().uncertain == worst(ledger)
        assert fake.bill.total < account.status().spent
    fake.bill.lag = 0.0
    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(ask(account, "s"))  # nothing to send: the answer is there
        assert account.status().spent == fake.bill.total


def test_calls_in_flight_when_a_run_died_are_asked_for_by_the_next(fake, settings, ledger):
    asked(settings(), ledger, "e1/1", "e1/2")
    intents = [line for line in ledger.read_bytes().splitlines(True) if b'"intent"' in line]
    ledger.write_bytes(b"".join(intents))
    with open_account(settings(), ledger=ledger) as account:
        assert account.status().uncertain > 0
        asyncio.run(ask(account, "e1/1", "e1/2"))
        assert account.status().spent == fake.bill.total
        assert account.status().uncertain == 0


def test_another_key_does_not_tell_what_the_first_was_charged(fake, settings, ledger):
    fake.will(Mishap("drop"))
    fake.bill.elsewhere = Decimal(1)
    fake.bill.lag = 0.0
    with open_account(settings(), ledger=ledger) as account:
        account.ledger.unfinished += 1  # as after Ctrl-C: nothing is asked
        asyncio.run(ask(account, "s"))
        lost = account.status().uncertain
    assert lost > 0
    fake.label = "sk-or-v1-oth..."
    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(ask(account, "t"))
        assert account.status().uncertain == lost


def test_a_budget_that_only_lost_calls_fill_says_to_run_again(fake, settings, ledger):
    fake.script.shares = [(1.0, Mishap("drop", charged=False))]
    found = asked(settings(max_cost=Decimal("0.002")), ledger, "s")
    assert isinstance(found[0], BudgetSpent)
    assert "for lost calls)" in found[0].cause
    assert found[0].hint.startswith("run the same command again")
    fake.script.shares = []
    assert isinstance(asked(settings(max_cost=Decimal("0.002")), ledger, "s")[0], Reply)
