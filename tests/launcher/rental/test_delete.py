"""Letting pods go, and the receipt: what the bill says beside what was quoted."""

import json
from typing import Any

import pytest

from launcher.context import Context
from launcher.errors import ApiUnavailable
from launcher.rental.delete import pods_of, receipt, receipt_lines, release, show_receipt
from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, BillingRecord, Pod
from launcher.runs.run_folder import Log, Run, key_file
from launcher.runs.run_state import RunState
from tests.launcher.rental.account import BEGIN
from trainer.contract.command.errors import NotFound

NAME = "sft-a-0123abcd-1800000000-"


class Bank:
    """Pods by id, with their names; bills by id. Remembers what it was asked."""

    def __init__(self, names) -> None:
        self.names = names
        self.asked: list[Any] = []
        self.bills: dict[str, list[BillingRecord]] = {}
        self.settled_after = 0

    def pods(self):
        return [Pod(id=pod, name=name, status="RUNNING") for pod, name in self.names.items()]

    def release(self, pod_id, *, unseen=0.0):
        self.asked.append((pod_id, unseen))
        self.names.pop(pod_id, None)

    def bill(self, pod_id, *, since):
        self.asked.append((pod_id, since))
        if self.settled_after > len(self.asked):
            return []
        return self.bills.get(pod_id, [])


def charge(pod, gpu, disk):
    return BillingRecord(pod_id=pod, total=gpu + disk, gpu=gpu, disk=disk)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "a").mkdir()
    return Run("a", tmp_path / "a")


@pytest.fixture
def cloud():
    return lambda **names: Bank(names)


@pytest.fixture
def log(run, world):
    return Log(run, world=world)


@pytest.fixture
def context(world, view):
    return Context(world, view)


def rent(log, number=1, pod="p1", rate=3.6, most=2.0):
    """A pod that costs a tenth of a cent a second, for two hours at most."""
    facts = {"gpu": "RTX", "rate": rate, "finish_by": BEGIN + 7000, "gone_by": BEGIN + 7200}
    with log.effect("rent", name=f"{NAME}{number}", most=most, **facts) as outcome:
        outcome["pod"] = pod


def stages(log, what="release"):
    return [entry.stage for entry in log.entries if entry.what == what]


def test_every_pod_under_a_name_of_the_run_goes_and_the_key_with_them(
    run, context, log, world, cloud
):
    rent(log)
    world.sleep(10.0)
    key = key_file(run, world)
    key.parent.mkdir(parents=True)
    key.write_text("secret")
    api = cloud(p1=f"{NAME}1", twin=f"{NAME}1", foreign="sft-b-0123abcd-1800000000-1")
    release(Rental(run, context, api, log), reason="finished")
    assert api.asked == [("p1", UNSEEN - 10.0), ("twin", UNSEEN - 10.0)]
    assert list(api.names) == ["foreign"]
    assert stages(log) == ["intent", "done"]
    assert log.entries[-2].facts == {"pod": "p1", "reason": "finished"}
    assert context.view.lines == ["deleting pod p1", "deleting pod twin"]
    assert not key.exists()
    release(Rental(run, context, api, log), reason="finished")
    assert len(api.asked) == 2, "released is released"


def test_a_run_that_rented_nothing_has_nothing_to_let_go(run, context, log, world, cloud):
    release(Rental(run, context, cloud(x="y"), log), reason="finished")
    assert log.entries == []
    with pytest.raises(NotFound, match="run a has rented no pod"):
        receipt(Rental(run, context, cloud(), log), patience=0)


def test_a_pod_that_nobody_saw_is_looked_for_by_its_name(run, context, log, world, cloud):
    rent(log)
    world.sleep(1.0)
    rent(log, 2, pod=None)
    state = RunState(log.entries[:3])
    assert pods_of(state, cloud(late=f"{NAME}2", p1=f"{NAME}1")) == ["late", "p1"]
    assert pods_of(state, cloud()) == []


def test_what_the_api_cannot_confirm_is_written_down_as_failed_and_the_key_stays(
    run, context, log, world, cloud
):
    rent(log)
    key = key_file(run, world)
    key.parent.mkdir(parents=True)
    key.write_text("secret")
    api = cloud(p1=f"{NAME}1")

    def away(pod_id, *, unseen=0.0):
        raise ApiUnavailable("nobody answers", "try again")

    api.release = away
    with pytest.raises(ApiUnavailable):
        release(Rental(run, context, api, log), reason="finished")
    assert stages(log) == ["intent", "failed"]
    assert key.exists()


def test_a_full_disk_keeps_no_pod_alive(run, context, log, world, monkeypatch, cloud):
    rent(log)
    api = cloud(p1=f"{NAME}1", twin=f"{NAME}1")

    def full(*_args, **_facts):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "effect", full)
    with pytest.raises(OSError, match="No space"):
        release(Rental(run, context, api, log), reason="finished")
    assert [pod for pod, _ in api.asked] == ["p1", "twin"]
    assert api.names == {}


def test_the_receipt_has_every_pod_beside_the_quote(run, context, log, world, cloud):
    rent(log, rate=3.6004)
    world.sleep(100.0)
    with log.effect("release", pod="p1"):
        pass
    world.sleep(1000.0)
    rent(log, 2, pod="p2")
    world.sleep(200.0)
    api = cloud()
    api.bills = {
        "p1": [charge("p1", 0.0601, 0.0302), charge("p1", 0.0101, 0.0)],
        "p2": [charge("p2", 0.1703, 0.0204)],
    }
    facts = receipt(Rental(run, context, api, log), patience=60.0)
    assert facts == {
        "pod": "p2",
        "pods": ["p1", "p2"],
        "gpu": "RTX",
        "seconds": 300,
        "quoted_rate": 3.6,
        "quoted_most": 2.1,  # of the last pod, and what the first has cost
        "reckoned": 0.3,
        "charged": 0.2911,
        "charged_gpu": 0.2405,
        "charged_disk": 0.0506,
        "settled": True,
    }
    assert json.loads((run.folder / "receipt.json").read_text()) == facts
    assert [path.name for path in run.folder.glob("*receipt*")] == ["receipt.json"]
    # an hour before the first was made: buckets begin earlier than what is in them
    assert {since for _, since in api.asked} == {"2027-01-15T07:00:00Z"}
    assert receipt_lines(run, facts) == [
        "receipt  charged $0.2911 (quoted at most $2.10), 300 s of RTX and others, 2 pods"
    ]


@pytest.mark.parametrize(
    ("charged", "slept", "settled"),
    [(0.8, False, True), (0.79, False, False), (0.79, True, True), (0.0, True, False)],
)
def test_a_bill_is_whole_from_four_fifths_of_the_clock_on(
    run, context, log, world, charged, slept, settled, cloud
):
    rent(log)
    if slept:
        with log.effect("wake", pod="p1"):
            pass
    world.sleep(1000.0)
    api = cloud()
    api.bills = {"p1": [charge("p1", charged, 0.0)]}
    facts = receipt(Rental(run, context, api, log), patience=0.0)
    assert facts["reckoned"] == 1.0
    assert facts["settled"] is settled
    assert len(api.asked) == 1
    assert world.now() == BEGIN + 1000.0


def test_a_bill_that_lags_is_asked_for_until_patience_ends(run, context, log, world, cloud):
    rent(log)
    world.sleep(100.0)
    with log.effect("release", pod="p1"):
        pass
    api = cloud()
    api.bills = {"p1": [charge("p1", 0.1, 0.0)]}
    api.settled_after = 3
    assert receipt(Rental(run, context, api, log), patience=60.0)["settled"]
    assert world.now() == BEGIN + 104.0, "two pauses"
    api.bills = {}
    facts = receipt(Rental(run, context, api, log), patience=60.0)
    assert world.now() == BEGIN + 164.0
    assert (facts["settled"], facts["charged"]) == (False, 0)
    (line,) = receipt_lines(run, facts)
    paid, asked = line.split("; ")
    assert paid == "receipt  about $0.1000 by elapsed time"
    assert asked.startswith("RunPod's bill shows $0.0000 so far")
    assert asked.endswith(" (quoted at most $2.00), 100 s of RTX")


def test_a_pod_that_may_not_exist_has_no_bill_to_ask_for(run, context, log, world, cloud):
    with (
        pytest.raises(ApiUnavailable),
        log.effect(
            "rent",
            name=f"{NAME}1",
            gpu="RTX",
            rate=3.6,
            finish_by=BEGIN + 7000,
            gone_by=BEGIN + 7200,
        ),
    ):
        raise ApiUnavailable("nobody answers", "try again")
    world.sleep(10.0)
    api = cloud()
    facts = receipt(Rental(run, context, api, log), patience=0.0)
    assert api.asked == []
    assert (facts["pods"], facts["reckoned"], facts["quoted_most"]) == ([None], 0.01, 0.0)
    assert "quoted at most $0.00" in receipt_lines(run, {**facts, "quoted_most": None})[0]


def test_a_bill_that_cannot_be_had_is_no_failure(run, context, log, world, cloud):
    rent(log)
    api = cloud()

    def away(pod_id, *, since):
        raise ApiUnavailable("nobody answers", "try again")

    api.bill = away
    show_receipt(Rental(run, context, api, log), patience=0.0)
    assert context.view.lines == [
        "no receipt yet: nobody answers; read it later with: launch receipt a"
    ]
    context.view.lines.clear()
    api = cloud()
    api.bills = {"p1": [charge("p1", 0.1, 0.0)]}
    show_receipt(Rental(run, context, api, log), patience=0.0)
    assert context.view.lines == ["receipt  charged $0.1000 (quoted at most $2.00), 0 s of RTX"]


def released_after(run, context, log, world, api, seconds):
    rent(log)
    world.sleep(seconds)
    with log.effect("release", pod="p1"):
        pass
    return Rental(run, context, api, log)


def test_more_than_the_clock_says_is_charged_loudly_and_counts(run, context, log, world, cloud):
    """100 s at $3.60/h are $0.10; $0.218123 in 100 s are $7.85/h."""
    api = cloud()
    rental = released_after(run, context, log, world, api, 100.0)
    api.bills = {"p1": [charge("p1", 0.2, 0.0181234)]}
    facts = receipt(rental, patience=0.0)
    assert receipt_lines(run, facts)[1:] == [
        "CHARGED MORE THAN QUOTED: $0.22 for $0.10 by time, $7.85/h instead of $3.60/h",
        "  --max-cost counts what was charged; see the pod's rate in RunPod's console",
    ]
    assert [pod.charged for pod in log.state.pods] == [0.218123]
    assert log.state.spent(world.now()) == 0.218123
    before = len(log.entries)
    receipt(rental, patience=0.0)
    assert len(log.entries) == before, "noted once"


@pytest.mark.parametrize(("waited", "counts"), [(7100.0, None), (7300.0, 0.05)])
def test_a_bill_below_the_clock_counts_once_it_cannot_grow_any_more(
    waited, counts, run, context, log, world, cloud
):
    api = cloud()
    rental = released_after(run, context, log, world, api, 100.0)
    api.bills = {"p1": [charge("p1", 0.05, 0.0)]}
    world.sleep(waited)
    receipt(rental, patience=0.0)
    assert [pod.charged for pod in log.state.pods] == [counts]


def test_a_bill_of_just_what_was_expected_is_not_loud(run, context, log, world, cloud):
    api = cloud()
    rental = released_after(run, context, log, world, api, 100.0)
    api.bills = {"p1": [charge("p1", 0.11, 0.0)]}
    assert len(receipt_lines(run, receipt(rental, patience=0.0))) == 1


def test_a_pod_of_the_journal_is_known_also_where_the_list_does_not_show_it(log, cloud):
    rent(log)
    assert pods_of(log.state, cloud()) == ["p1"]
