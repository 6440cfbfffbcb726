"""Runs with hand-made journals and events; medians by the standard library's ``statistics.median``."""

import dataclasses
import json
import statistics
from typing import Any

import pytest

from launcher.quote import measured
from launcher.quote.compare_gpus import compare, table
from launcher.quote.estimate import estimate
from launcher.quote.measure_run import measure, remember
from launcher.quote.measured import Measured, Spread
from launcher.quote.run_cost import lines
from launcher.runs import run_state
from launcher.runs.run_folder import Run
from launcher.settings import Settings
from launcher.world import World
from tests.launcher.quote.test_compare_gpus import CARDS
from tests.launcher.quote.test_estimate import A5000, QWEN3B, WORK
from tests.launcher.quote.test_run_cost import quote
from trainer.contract import events
from trainer.contract.command.crash_safe_files import open_locked

MODEL = "Qwen/Qwen2.5-3B-Instruct"
AT = 1_800_000_000.0
GB = 10**9


class Here(World):
    def __init__(self, folder):
        self.folder = folder
        self.slept = 0.0

    def state_folder(self):
        return self.folder / "state"

    def hub_folder(self):
        return self.folder / "hub"

    def now(self):
        return AT + 5000

    def sleep(self, seconds, *, stop=None):
        self.slept += seconds


@pytest.fixture
def world(tmp_path):
    return Here(tmp_path)


def a_run(folder, *, device=A5000, rates=(900.0, 1100.0, 1000.0), rented=True):
    """Rented at AT, SSH at 130 s, first event at 120 s, first step at 200 s, done at 1920 s."""
    folder.mkdir()
    entries: list[tuple[str, str, float, dict[str, object]]] = [
        ("created", "fact", 0, {"id": "r1", "where": "runpod", "model": MODEL})
    ]
    if rented:
        entries += [
            ("quote", "fact", 1, {"tokens_per_second": 1250.0, "likely_hours": 0.5}),
            ("rent", "intent", 2, {"name": "sft-r1", "gpu": A5000, "rate": 0.3,
                                   "finish_by": AT + 3000, "gone_by": AT + 3600}),
            ("rent", "done", 10, {"pod": "p1"}),
            ("up", "fact", 130, {}),
        ]  # fmt: skip
    entries.append(("start", "intent", 135, {"offset": 0}))
    lines = [
        json.dumps({"what": what, "stage": stage, "time": AT + at, "facts": facts, "v": 1})
        for what, stage, at, facts in entries
    ]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    common: dict[str, Any] = {"epoch": 1.0, "loss": 1.0, "lr": 1e-4, "tokens": 9, "trained_tokens": 9,
              "trained_tokens_per_second": 1.0, "seconds_left": 0.0, "memory_bytes": 1}  # fmt: skip
    said = [
        events.Phase(name="booted", time=AT + 120),
        events.Plan(device=device, precision="bf16", pass_tokens=9, passes=1.0, rows=3, tokens=9,
                    trained_tokens=9, steps=3, epochs=1.0, trainable_parameters=1, time=AT + 150),
        events.TrialStep(tokens=9, seconds=1.0, tokens_per_second=9.0, peak_bytes=11 * GB,
                         predicted_bytes=10 * GB, bound_tokens_per_second=1600.0, time=AT + 160),
        *(
            events.Step(step=step, steps=3, tokens_per_second=rate, time=AT + 100 + 100 * step, **common)
            for step, rate in enumerate(rates, 1)
        ),
        events.Done(manifest="manifest.json", time=AT + 1910),
        events.Phase(name="ready", time=AT + 1920),
        events.Phase(name="released", time=AT + 2900),
    ]  # fmt: skip
    (folder / "events.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in said))
    run = Run("r1", folder)
    return run, run_state.read(run.journal)


def test_a_rented_run_is_measured_from_its_journal_and_events(world, tmp_path):
    run, state = a_run(tmp_path / "r1")
    remember(run, state, world=world)
    (one,) = measured.read(world)
    assert one == Measured(
        run="r1", time=AT + 5000, card=A5000, cards=1, model=MODEL, parameters=QWEN3B.parameters,
        precision="bf16", seconds=1800 + 120, tokens_per_second=statistics.median([900, 1100, 1000]),
        bound_tokens_per_second=1600.0, peak_bytes=11 * GB, pull_seconds=120, start_seconds=80, predicted_tokens_per_second=1250,
        predicted_bytes=10 * GB, predicted_seconds=1800,
    )  # fmt: skip


def test_a_cpu_says_nothing_of_a_card(world, tmp_path):
    run, state = a_run(tmp_path / "here", device="cpu x86_64", rented=False)
    assert measure(run, state, world=world) is None
    run, state = a_run(tmp_path / "rented", device="cpu x86_64")
    found = measure(run, state, world=world)
    assert found is not None
    assert (found.tokens_per_second, found.peak_bytes) == (None, None)
    assert (found.pull_seconds, found.start_seconds) == (120, 80)


def test_a_card_of_this_machine_is_measured_without_a_rental(world, tmp_path):
    run, state = a_run(tmp_path / "here", device="NVIDIA H200", rented=False)
    found = measure(run, state, world=world)
    assert found is not None
    assert (found.card, found.pull_seconds, found.predicted_seconds) == ("NVIDIA H200", None, None)
    assert (found.tokens_per_second, found.seconds) == (1000.0, 1800)


@pytest.mark.parametrize("damage", ["no events", "no step", "not an event"])
def test_a_run_that_cannot_be_measured_fails_nothing(damage, world, tmp_path):
    run, state = a_run(tmp_path / "r1", rates=() if damage == "no step" else (1.0,))
    if damage == "no events":
        run.events.unlink()
    if damage == "not an event":
        run.events.write_text("[]\n")
    remember(run, state, world=world)
    assert measured.read(world) == ()


def one(run, rate, **changes):
    facts: dict[str, Any] = {"time": AT, "card": A5000, "cards": 1, "model": MODEL, "precision": "bf16",
             "parameters": QWEN3B.parameters, "seconds": 100.0}  # fmt: skip
    return Measured(run=run, tokens_per_second=rate, **{**facts, **changes})


def test_the_file_keeps_each_run_once_and_survives_a_torn_line(world):
    measured.keep(one("a", 1.0), world=world)
    path = world.state_folder() / measured.FILE
    path.write_bytes(path.read_bytes() + b'{"run": "to')
    for again in (one("b", 2.0), one("a", 3.0)):
        measured.keep(again, world=world)
    assert [(each.run, each.tokens_per_second) for each in measured.read(world)] == [
        ("b", 2.0),
        ("a", 3.0),
    ]


def test_a_state_folder_that_cannot_be_written_fails_nothing(world):
    world.state_folder().write_text("a file")
    measured.keep(one("a", 1.0), world=world)
    assert measured.read(world) == ()


@pytest.mark.parametrize("values", [[5.0], [1.0, 2.0], [7.0, 3.0, 5.0, None], [4.0, 4.1, 3.9]])
def test_likely_is_the_median_and_the_range_covers_every_run(values):
    found = Spread.of(values)
    assert found is not None
    known = [value for value in values if value is not None]
    assert found.likely == statistics.median(known)
    assert found.runs == len(known)
    assert found.low <= min(known)
    assert found.high >= max(known)
    assert found.low <= found.likely / 1.1
    assert found.high >= found.likely * 1.1
    assert Spread.of([None, 0.0]) is None


def test_a_file_that_another_run_holds_is_waited_for_and_then_left(world):
    with open_locked(world.state_folder() / measured.FILE):
        measured.keep(one("a", 1.0), world=world)
    assert measured.read(world) == ()
    assert world.slept == pytest.approx(measured.TRIES * measured.PAUSE)


OWN = (
    one("a", 2000.0, pull_seconds=100.0, start_seconds=50.0),
    one("b", 3000.0, pull_seconds=300.0, start_seconds=70.0),
    one("c", 2200.0, pull_seconds=110.0, start_seconds=60.0, predicted_seconds=80.0,
        predicted_tokens_per_second=2000.0, peak_bytes=11 * GB, predicted_bytes=10 * GB),
)  # fmt: skip
OTHERS = (
    one("nf4", 1.0, precision="nf4"),
    one("four cards", 1.0, cards=4),
    one("another card", 1.0, card="NVIDIA L4"),
    one("7B", 1.0, parameters=7.6e9),
)


def test_the_estimate_is_the_median_of_the_runs_alike():
    published = estimate(WORK, A5000, memory=24)
    assert published.fit is not None
    assert published.fit.precision == "bf16"
    assert estimate(dataclasses.replace(WORK, own=OTHERS), A5000, memory=24) == published
    found = estimate(dataclasses.replace(WORK, own=(*OWN, *OTHERS)), A5000, memory=24)
    assert found.tokens_per_second == pytest.approx(2200.0)
    # 3,000,000 tokens; pull 110, start 60; the adapter's 59.87e6 x 4 bytes at 5e6 a second
    assert found.seconds["likely"] == pytest.approx(110 + 60 + 3e6 / 2200 + 47.9, abs=0.1)
    assert found.seconds["low"] == pytest.approx(100 + 50 + 3e6 / 3000 + 47.9, abs=0.1)
    assert found.seconds["high"] == pytest.approx(300 + 70 + 3e6 / 2000 + 47.9, abs=0.1)
    assert [each.run for each in found.own.runs] == ["a", "b", "c"]


def test_the_share_that_own_runs_reached_of_their_bounds_holds_for_other_models_and_cards():
    """500 of 1,000 and 1,200 of 2,000: 0.55 of the bound, first on that card, then on another."""
    published = estimate(WORK, A5000, memory=24).speed
    large = {"parameters": 7.6e9, "precision": "nf4"}
    here = (
        one("a", 500.0, bound_tokens_per_second=1000.0, **large),
        one("b", 1200.0, bound_tokens_per_second=2000.0, **large),
    )
    away = one("c", 100.0, bound_tokens_per_second=1000.0, card="NVIDIA L4", **large)
    found = estimate(dataclasses.replace(WORK, own=(*here, away)), A5000, memory=24).speed
    assert found.rate() == pytest.approx(0.55 * published.bound)
    assert found.source == "counted bound x 0.55, the share of your runs (median of 2)"
    other = estimate(dataclasses.replace(WORK, own=here), "NVIDIA A40", memory=48).speed
    assert other.share["likely"] == pytest.approx(0.55)
    assert "the share of your runs on other cards (median of 2)" in other.source


def test_a_quote_without_a_measured_run_says_nothing_of_one():
    deal, wanted = quote(0.27)
    assert deal.measured == ()
    assert not any("measured" in text for text in lines(deal, wanted))


def test_plan_and_quote_say_from_how_many_runs_and_how_wrong_the_last_was():
    work = dataclasses.replace(WORK, own=OWN)
    shown = table(compare(work, CARDS, Settings()), work)
    median = "measured by your own runs on this card: speed (median of 3), start-up (median of 3)"
    # 100 / 80, 2200 / 2000, 11 / 10
    last = (
        "last prediction, run c: took 1:40, predicted 1:20 (+25%); "
        "2,200 tokens/s, predicted 2,000 (+10%); peak 11.0 GB, predicted 10.0 GB (+10%)"
    )
    assert [text for text in shown if text.startswith("RTX A5000: ")] == [
        f"RTX A5000: {median}, image pull (median of 3)",
        f"RTX A5000: {last}",
    ]
    assert "token/s of RTX A5000: measured on your runs (median of 3)" in shown
    assert "token/s: counted bound x 0.70, the share of published runs" in shown
    deal, wanted = quote(0.27, what=work)
    assert deal.tokens_per_second == 2200.0
    told = lines(deal, wanted)
    assert f"  {last}" in told
    assert "speed (median of 1)" in "\n".join(
        lines(*quote(0.27, what=dataclasses.replace(work, own=OWN[:1])))
    )
