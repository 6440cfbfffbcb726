"""The schedules that every test run plays, and those that once broke a promise, by what they found."""

from dataclasses import replace

import pytest

from launcher.quote import run_cost
from launcher.rental import guard
from tests.chaos.story import play

SEEDS = range(200)
EACH = 10

FOUND = {
    "the guard deleted a stopped pod with its result": (22, {"launcher killed", "home disk full"}),
    "a pod that never came up was billed past its deadline": (11, {"launcher killed"}),
    "a woken pod that deleted itself gave a bare 404": (15, {"stopped in the console"}),
    "a full disk at home kept launcher and guard from releasing": (121, {"home disk full"}),
    "a pod that may not stop itself was left two minutes past its deadline": (201, {"link down"}),
    "a woken pod had no guard outside": (600, {"reboot"}),
    "a fresh pod that the API did not show was taken for gone": (825, {"fresh pods unseen"}),
    "a pod that was woken often could not be fetched from any more": (888, {"foreign host key"}),
    "a wrong clock at home made wrong deadlines": (582, {"clock jumps"}),
}


@pytest.mark.parametrize("first", range(SEEDS.start, SEEDS.stop, EACH))
def test_no_schedule_breaks_a_promise(first):
    broken = [told for seed in range(first, first + EACH) if (told := play(seed)).faults]
    assert not broken, "\n".join(
        f"make chaos SEED={told.schedule.seed}: {fault}" for told in broken for fault in told.faults
    )


@pytest.mark.parametrize(("seed", "by"), FOUND.values(), ids=FOUND)
def test_what_was_found_stays_mended(seed, by):
    told = play(seed)
    assert by <= set(told.struck), "the seed no longer draws what it was kept for"
    assert not told.faults


def test_a_seed_says_the_same_twice():
    first, second = play(22), play(22)
    assert first.asked == second.asked
    assert (first.outcome, first.steps) == (second.outcome, second.steps)


def test_a_guard_that_does_nothing_is_seen(monkeypatch):
    monkeypatch.setattr(guard, "watch", lambda *arguments, **named: None)
    told = play(53)
    assert "left to the guard" in told.struck
    assert any("past its deadline" in fault for fault in told.faults)


def test_a_deadline_an_hour_late_is_seen(monkeypatch):
    quote = run_cost.quote

    def late(*arguments, **named):
        found = quote(*arguments, **named)
        return replace(found, gone_by=found.gone_by + 3600)

    monkeypatch.setattr(run_cost, "quote", late)
    assert any("later than was asked for" in fault for fault in play(0).faults)
