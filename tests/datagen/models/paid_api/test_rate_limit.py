"""How many at once, and how long to wait."""

import asyncio

import pytest

from datagen.models.paid_api import rate_limit as pace_module
from datagen.models.paid_api.account import open_account
from datagen.models.paid_api.rate_limit import RateLimit, wait_before
from datagen.models.protocol import Reply
from tests.datagen.models.paid_api.conftest import ask


def test_halve_once_for_a_moment_and_creep_up_by_one():
    async def run():
        pace = RateLimit(most=8)
        moments = [await pace.enter() for _ in range(8)]
        pace.leave(moments[0], throttled=True, answered=False)
        pace.leave(moments[1], throttled=True, answered=False)  # tells of the same moment
        assert pace.allowed == 4
        pace.leave(moments[2], throttled=False, answered=False)  # an error that is no throttle
        assert pace.allowed == 4
        pace.leave(moments[3], throttled=False, answered=True)
        assert pace.allowed == 5
        later = await pace.enter()
        pace.leave(later, throttled=True, answered=False)
        assert pace.allowed == 2.5
        for moment in moments[4:]:
            pace.leave(moment, throttled=False, answered=True)
        assert pace.in_flight == 0
        for _ in range(10):
            pace.leave(await pace.enter(), throttled=False, answered=True)
        assert pace.allowed == 8

    asyncio.run(run())


def test_a_stray_429_among_many_answers_changes_nothing():
    async def run():
        pace = RateLimit(most=100)
        for n in range(1000):
            throttled = n % 20 == 0
            pace.leave(await pace.enter(), throttled=throttled, answered=not throttled)
            assert pace.allowed == 100
        pace = RateLimit(most=100)
        moments = [await pace.enter() for _ in range(100)]
        for moment in moments[:10]:
            pace.leave(moment, throttled=True, answered=False)
        assert pace.allowed == 100
        pace.leave(moments[10], throttled=True, answered=False)
        assert pace.allowed == 50

    asyncio.run(run())


def test_one_is_always_allowed_and_nobody_is_forgotten():
    async def run():
        pace = RateLimit(most=2)
        for _ in range(5):
            pace.leave(await pace.enter(), throttled=True, answered=False)
        assert pace.allowed == 1
        first = await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(pace._queue) == 3
        waiting[0].cancel()
        pace.leave(first, throttled=False, answered=False)
        waiting[1].cancel()  # had its place already
        for task in waiting[:2]:
            with pytest.raises(asyncio.CancelledError):
                await task
        await waiting[2]
        assert pace.in_flight == 1

    asyncio.run(run())


def test_waits_grow_and_never_undercut_what_was_asked(monkeypatch):
    monkeypatch.setattr(pace_module, "FIRST_WAIT", 1.0)
    for attempt in range(1, 12):
        longest = min(60.0, 2.0 ** (attempt - 1))
        for _ in range(50):
            assert longest / 2 <= wait_before(attempt, asked=None) <= longest
            assert 7 <= wait_before(attempt, asked=7) <= 7 + 7 * 0.25 + 1
    assert len({wait_before(1, asked=7) for _ in range(20)}) > 1


def test_an_api_with_room_for_20_is_used_in_full_and_nothing_is_lost(fake, settings, ledger):
    fake.capacity, fake.latency = 20, 0.05
    with open_account(settings(concurrency=200), ledger=ledger) as account:
        found = asyncio.run(ask(account, *(f"s{n}" for n in range(300))))
        status = account.status()
    assert all(isinstance(reply, Reply) for reply in found)
    assert account.teacher.tally.throttled > 0
    assert account.teacher.rate_limit.halvings > 0
    assert status.spent == fake.bill.total
