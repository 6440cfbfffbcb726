"""Caps become instants; the quote says what money buys."""

import dataclasses

import pytest

from launcher import plan
from launcher.errors import OverBudget
from launcher.estimate import Work
from launcher.gpus import Candidate
from launcher.settings import Settings
from tests.launcher.rental.account import card

NOW = 1_800_000_000.0
SMALL = Work(
    model=None, parameters=3e9, tokens=1_000_000, longest=512, context=400.0, scored=0.3, rank=32,
    precision=None,
)  # fmt: skip


def quote(price=0.5, what=SMALL, **settings):
    gpu = card("NVIDIA RTX A5000", price)
    wanted = Settings(**settings)
    deal = plan.quote(Candidate(gpu, price, ""), 1, wanted, what, now=NOW, read_at=NOW)
    return deal, wanted


@pytest.mark.parametrize(
    ("price", "settings", "hours"),
    [(0.27, {}, 6.0), (2.0, {"max_cost": 2.0}, 1.0), (0.5, {"max_hours": 0.5}, 0.5)],
)
def test_the_tighter_cap_sets_the_deadline(price, settings, hours):
    deal, _ = quote(price, **settings)
    assert deal.hours == pytest.approx(hours, rel=0.01)
    assert deal.rate > price  # the disks
    assert deal.most == pytest.approx(deal.hours * deal.rate)
    assert deal.most <= Settings(**settings).max_cost + 1e-9
    assert NOW < deal.finish_by < deal.gone_by < NOW + deal.hours * 3600
    assert deal.gone_by - deal.finish_by == pytest.approx(min(900, deal.hours * 900))


def test_too_little_money_says_how_much_is_needed():
    with pytest.raises(OverBudget) as caught:
        quote(4.0, max_cost=0.1)
    needed = float(caught.value.hint.split("--max-cost ")[1].split()[0])
    assert quote(4.0, max_cost=needed)[0].hours * 3600 >= plan.SHORTEST


def test_the_quote_tells_rate_most_waiting_and_what_a_host_failure_loses():
    deal, wanted = quote(0.27)
    text = "\n".join(plan.lines(deal, wanted))
    assert f"at most ${deal.most:.2f}" in text
    assert "rough" in text
    assert "a day for its disk" in text
    assert "host failure loses" in text
    assert "deletes itself" in "\n".join(
        plan.lines(deal, wanted.model_copy(update={"on_deadline": "delete"}))
    )
    kept = "\n".join(plan.lines(*quote(0.27, volume="mine")))
    assert "volume mine keeps checkpoints" in kept


def test_the_quote_counts_questions_and_stays_below_its_cap():
    deal, wanted = quote(0.5)
    asked, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=300))
    assert deal.low < deal.likely < deal.high
    # 300 to each of two models, at 2, 1 and 0.4 a second
    for part, seconds in (("low", 300), ("likely", 600), ("high", 1500)):
        more = getattr(asked, part) - getattr(deal, part)
        assert more == pytest.approx(seconds / 3600 * deal.rate)
    text = "\n".join(plan.lines(asked, wanted))
    assert "with 300 questions to base and adapter" in text
    assert f"rough: ${asked.low:.2f} to ${asked.high:.2f}" in text
    assert "questions" not in "\n".join(plan.lines(deal, wanted))
    chosen, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=300, validated=60))
    # 60 to each of five checkpoints, each loaded for 30 s
    more = chosen.likely - asked.likely
    assert more == pytest.approx((300 + 150) / 3600 * deal.rate)
    text = "\n".join(plan.lines(chosen, wanted))
    assert "300 questions to base and adapter and 60 to each of 5 checkpoints" in text
    short, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=10**6))
    assert short.low == short.likely == short.high == short.most


def test_the_quote_tells_what_each_cuda_flavour_reaches():
    said = plan.reach_line({"12.8": 3, "13.0": 1}, 6, "13.0")
    assert said == "  cards: 1 of 6 kinds can be had now with CUDA 13.0 (3 with 12.8: --cuda)"
    assert plan.reach_line({"13.0": 1}, 1, "13.0").endswith("with CUDA 13.0")
