"""The limit holds: in the arithmetic, whatever the order of events, and with 500 calls in flight."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.models.paid_api.account import open_account
from datagen.models.paid_api.budget import Budget
from datagen.models.protocol import Reply
from tests.datagen.models.paid_api.conftest import ask, asked
from tests.openrouter.mishaps import Mishap
from trainer.contract.command.errors import BudgetSpent

cents = st.integers(0, 500).map(lambda n: Decimal(n) / 100)


@given(st.lists(st.tuples(cents, st.floats(0, 1), st.booleans()), max_size=30), cents)
def test_spent_and_reserved_stay_within_the_limit(calls, limit):
    """Each call: its worst case, the share of it that it came to, and whether it is cancelled."""

    async def run():
        budget = Budget(limit=limit)

        async def one(worst, share, cancelled):
            await budget.reserve(worst)
            cost = worst
            try:
                assert budget.spent + budget.reserved <= limit
                await asyncio.sleep(0)
                cost = (worst * Decimal(share)).quantize(Decimal("0.01"))
            finally:
                budget.settle(worst, cost)
            assert budget.spent + budget.reserved <= limit

        tasks = [asyncio.create_task(one(*call)) for call in calls]
        await asyncio.sleep(0)
        for task, call in zip(tasks, calls, strict=True):
            if call[2]:
                task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            end is None or isinstance(end, BudgetSpent | asyncio.CancelledError) for end in ends
        )
        return budget

    budget = asyncio.run(run())
    assert budget.spent <= limit
    assert budget.reserved == 0


def test_who_does_not_fit_beside_others_waits_and_who_never_fits_is_told():
    async def run():
        budget = Budget(limit=Decimal(10))
        await budget.reserve(Decimal(8))
        second = asyncio.create_task(budget.reserve(Decimal(5)))
        third = asyncio.create_task(budget.reserve(Decimal(1)))
        await asyncio.sleep(0)
        assert not second.done()
        assert not third.done()  # one after the other, so that big calls are not starved
        with pytest.raises(BudgetSpent):
            await budget.reserve(Decimal(11))
        budget.settle(Decimal(8), Decimal(6))
        await asyncio.sleep(0)
        with pytest.raises(BudgetSpent, match=r"\$6.0000 of \$10 is spent"):
            await second
        await third
        assert budget.reserved == 1

    asyncio.run(run())


def test_a_cancelled_reservation_is_given_back():
    async def run():
        budget = Budget(limit=Decimal(10))
        await budget.reserve(Decimal(10))
        waiting = asyncio.create_task(budget.reserve(Decimal(4)))
        await asyncio.sleep(0)
        budget.settle(Decimal(10), Decimal(0))
        waiting.cancel()  # let in already, but not told yet
        await asyncio.gather(waiting, return_exceptions=True)
        assert budget.reserved == 0

    asyncio.run(run())


def test_who_gives_up_lets_the_next_in():
    async def run():
        budget = Budget(limit=Decimal(10))
        await budget.reserve(Decimal(8))
        second = asyncio.create_task(budget.reserve(Decimal(5)))
        third = asyncio.create_task(budget.reserve(Decimal(1)))
        await asyncio.sleep(0)
        second.cancel()
        async with asyncio.timeout(5):
            await third
        assert budget.reserved == 9

    asyncio.run(run())


def test_only_what_no_answer_confirmed_is_uncertain():
    budget = Budget(limit=None, reserved=Decimal(7))
    budget.settle(Decimal(4), Decimal(1))
    assert [budget.spent, budget.uncertain, budget.reserved] == [1, 0, 3]
    budget.settle(Decimal(3), Decimal(2), certain=False)
    assert [budget.spent, budget.uncertain, budget.reserved] == [3, 2, 0]


def test_to_the_cent_with_500_calls_in_flight(fake, settings, ledger):
    fake.latency = 1.0
    fake.brain = lambda _: "x" * 400
    fake.script.shares = [
        (0.03, Mishap("status", status=429, retry_after="0.05")),
        (0.03, Mishap("error in 200")),
        (0.02, Mishap("finish", reason="error")),
        (0.01, Mishap("drop", charged=True)),
        (0.01, Mishap("garbage", charged=True)),
    ]
    limit = Decimal("0.035")  # a little more than the worst case of 500 calls
    plain = {"teacher_model": "qwen/qwen3-32b", "max_tokens": 120, "concurrency": 500}
    tight = settings(max_cost=limit, **plain)
    sessions = [f"s{n}" for n in range(1200)]
    with open_account(tight, ledger=ledger) as account:
        found = asyncio.run(ask(account, *sessions))
        status = account.status()
    assert fake.most_at_once > 400
    answered = [reply for reply in found if isinstance(reply, Reply)]
    stopped = [fault for fault in found if isinstance(fault, BudgetSpent)]
    assert len(answered) + len(stopped) == len(sessions)
    assert stopped
    # All that is believed is billed, lost calls included.
    assert fake.bill.undelivered > 0
    assert status.spent == fake.bill.total <= limit
    assert status.uncertain == status.reserved == 0
    # It stopped only when the next call might not fit, with lost calls at their highest cost.
    believed = max(Decimal(fault.cause.split("$")[1].split()[0]) for fault in stopped)
    assert limit - believed < Decimal("0.0003")
    # And goes on with more, paying for nothing again.
    fake.latency = 0.0
    more = settings(max_cost=1, **plain)
    again = asked(more, ledger, *sessions)
    assert all(isinstance(reply, Reply) for reply in again)
    assert [
        new for new, old in zip(again, found, strict=True) if isinstance(old, Reply)
    ] == answered
