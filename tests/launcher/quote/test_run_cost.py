"""Caps become instants; the quote says what money buys."""

import dataclasses
import time

import pytest

from launcher.errors import OverBudget
from launcher.quote import run_cost
from launcher.quote.estimate import TrainingSize
from launcher.quote.gpu_names import Candidate
from launcher.settings import Settings
from tests.launcher.rental.account import card

NOW = 1_800_000_000.0
SMALL = TrainingSize(
    model=None, parameters=3e9, tokens=1_000_000, longest=512, context=400.0, scored=0.3, rank=32,
    precision=None,
)  # fmt: skip


def quote(price=0.5, what=SMALL, **settings):
    gpu = card("NVIDIA RTX A5000", price)
    wanted = Settings(**settings)
    deal = run_cost.quote(Candidate(gpu, price, ""), 1, wanted, what, now=NOW, read_at=NOW)
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
    assert quote(4.0, max_cost=needed)[0].hours * 3600 >= run_cost.SHORTEST


def test_the_quote_tells_rate_most_waiting_and_what_a_host_failure_loses():
    deal, wanted = quote(0.27)
    text = "\n".join(run_cost.lines(deal, wanted))
    assert f"at most ${deal.most:.2f}" in text
    assert "rough" in text
    assert "a day for its disk" in text
    assert "host failure loses" in text
    assert "deletes itself" in "\n".join(
        run_cost.lines(deal, wanted.model_copy(update={"on_deadline": "delete"}))
    )
    kept = "\n".join(run_cost.lines(*quote(0.27, volume="mine")))
    assert "volume mine keeps checkpoints" in kept


def test_the_quote_counts_questions_and_stays_below_its_cap():
    deal, wanted = quote(0.5)
    asked, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=300))
    assert deal.low < deal.likely < deal.high
    # 300 to each of two models, at 2, 1 and 0.4 a second
    for part, seconds in (("low", 300), ("likely", 600), ("high", 1500)):
        more = getattr(asked, part) - getattr(deal, part)
        assert more == pytest.approx(seconds / 3600 * deal.rate)
    text = "\n".join(run_cost.lines(asked, wanted))
    assert "with 300 questions to base and adapter" in text
    assert f"rough: ${asked.low:.2f} to ${asked.high:.2f}" in text
    assert "questions" not in "\n".join(run_cost.lines(deal, wanted))
    chosen, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=300, validated=60))
    # 60 to each of five checkpoints, each loaded for 30 s
    more = chosen.likely - asked.likely
    assert more == pytest.approx((300 + 150) / 3600 * deal.rate)
    text = "\n".join(run_cost.lines(chosen, wanted))
    assert "300 questions to base and adapter and 60 to each of 5 checkpoints" in text
    short, _ = quote(0.5, what=dataclasses.replace(SMALL, questions=10**6))
    assert short.low == short.likely == short.high == short.most


def test_the_quote_tells_what_each_cuda_flavour_reaches():
    said = run_cost.reach_line({"12.8": 3, "13.0": 1}, 6, "13.0")
    assert said == "  cards: 1 of 6 kinds are available now with CUDA 13.0 (3 with 12.8: --cuda)"
    assert run_cost.reach_line({"13.0": 1}, 1, "13.0").endswith("with CUDA 13.0")


@pytest.mark.parametrize(
    ("settings", "rate", "stopped_day"),
    [
        # 20 GB of the container and 40 GB of the mount at $0.10 a GB and month of 730 hours
        ({}, 0.5 + 60 * 0.10 / 730, 40 * 0.20 / 730 * 24),
        ({"disk": 100, "mount": 10}, 0.5 + 110 * 0.10 / 730, 10 * 0.20 / 730 * 24),
        # a volume takes the mount's place, and is paid for whether a pod runs or not
        ({"volume": "mine"}, 0.5 + 20 * 0.10 / 730, 0.0),
    ],
)
def test_disks_are_in_the_rate(settings, rate, stopped_day):
    deal, _ = quote(0.5, grace=30, **settings)
    assert deal.rate == pytest.approx(rate, rel=1e-12)
    assert deal.waiting == pytest.approx(rate / 2, rel=1e-12)
    assert deal.stopped_day == pytest.approx(stopped_day, rel=1e-12)


@pytest.mark.parametrize(
    ("hours", "reserve"), [(2.0, 900.0), (1.0, 900.0), (0.5, 450.0), (600 / 3600, 150.0)]
)
def test_a_pod_is_gone_a_minute_early_and_saves_before(hours, reserve):
    deal, _ = quote(0.5, max_hours=hours)
    assert deal.hours == hours
    assert deal.gone_by == pytest.approx(NOW + hours * 3600 - 60, abs=1e-6)
    assert deal.finish_by == pytest.approx(deal.gone_by - reserve, abs=1e-6)


@pytest.mark.parametrize(("seconds", "told"), [(599.4, "9:59"), (599.9, "10:00")])
def test_less_than_ten_minutes_is_too_short(seconds, told):
    with pytest.raises(OverBudget) as caught:
        quote(0.5, max_hours=seconds / 3600)
    short = f" is {told} of RTX A5000 at $0.51/h: too short to start the pod"
    assert caught.value.cause.endswith(short)
    assert caught.value.hint == "allow at least --max-hours 0.2"


def test_what_earlier_attempts_have_cost_is_taken_from_the_cap():
    gpu = Candidate(card("NVIDIA RTX A5000", 0.5), 0.5, "")

    def after(spent):
        return run_cost.quote(gpu, 2, Settings(), SMALL, now=NOW, read_at=NOW - 5, spent=spent)

    deal = after(1.5)
    assert deal.most == pytest.approx(0.5)
    assert (deal.spent, deal.count, deal.read_at, deal.memory) == (1.5, 2, NOW - 5, 24)
    assert "h ($1.50 already spent by earlier attempts)" in run_cost.lines(deal, Settings())[1]
    for spent in (1.99, 2.0, 5.0):
        with pytest.raises(OverBudget) as caught:
            after(spent)
        assert (
            f"$2.00 (${spent:.2f} of it already spent by earlier attempts) buys "
            in caught.value.cause
        )
        needed = spent + deal.rate / 6 + 0.01
        assert caught.value.hint == f"allow at least --max-cost {needed:.2f}"
    with pytest.raises(OverBudget) as caught:
        quote(0.5, max_cost=0.01)
    assert "earlier" not in caught.value.cause


def test_the_quote_as_it_is_shown():
    deal = dataclasses.replace(
        quote(0.5)[0],
        count=2, rate=0.508, most=2.0, hours=3.94, likely=0.25, likely_hours=1.0, low=0.125,
        high=1.0, waiting=0.127, stopped_day=0.263, validated=60,
    )  # fmt: skip
    fetch = "then stops: $0.26 a day for its disk until you fetch or reap it"
    assert run_cost.lines(deal, Settings()) == [
        f"quote: 2 x NVIDIA RTX A5000 (24 GB), $0.508/h with disks, price of {run_cost.at_day(NOW)}",
        "  at most $2.00 = 3.94 h at $0.508/h",
        "  likely $0.25 (1:00:00) with 60 to each of 5 checkpoints, rough: $0.12 to $1.00",
        "  token/s: peak x 0.70, the share of published runs",
        "  image pull and start-up: assumed",
        f"  deadlines: saves by {run_cost.at(deal.finish_by)}, stops by {run_cost.at(deal.gone_by)}",
        f"  when finished, waits 15 min ($0.13) for the download, {fetch}",
        "  a host failure loses what was trained so far (--volume keeps it)",
    ]
    one = run_cost.lines(dataclasses.replace(deal, count=1), Settings())
    assert one[0].startswith("quote: NVIDIA RTX A5000 (24 GB), ")


@pytest.mark.parametrize(("zone", "told"), [("UTC0", "08:00:00 UTC"), ("CET-1", "09:00:00 CET")])
def test_a_time_is_local_and_names_its_zone(zone, told, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert run_cost.at(NOW) == told
        assert run_cost.at_day(NOW) == f"2027-01-15 {told[:5]} {told[-3:]}"
    finally:
        monkeypatch.undo()
        time.tzset()
