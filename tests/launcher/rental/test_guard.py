"""What stands behind a launcher that is gone: the guard, reap; and the verbs that act on a run."""

from dataclasses import replace

import pytest

from launcher.errors import ApiUnavailable, KeyRejected, PodFailed
from launcher.quote import catalog
from launcher.rental import guard, receipt_and_reap
from launcher.request import Request
from launcher.runs import run_folder, status
from launcher.runs.rented_pods import Name, machine_id
from launcher.runs.run_state import read
from launcher.stop import stop
from launcher.train import preview
from tests.launcher.rental.account import BEGIN, KEY
from trainer.contract import manifest
from trainer.contract import pod as border
from trainer.contract.command.errors import Interrupted, NotFound, TrainingFailed, Usage
from trainer.contract.job import Job


@pytest.fixture
def run(project):
    return run_folder.Run("a", project / "runs" / "a")


@pytest.fixture
def left(account, world, begin):
    """A run that was left at work; its pod does nothing of its own."""
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin()
    world.press = lambda: False
    (machine,) = account.machines.values()
    account.live = lambda _: None
    return machine


def told(machine):
    return border.PodSettings.from_env(machine.request.env)


def test_the_guard_stops_a_pod_past_its_deadline_and_keeps_its_disk(
    left, run, account, world, view
):
    guard.watch(run.folder, world=world, view=view)
    assert left.status == "EXITED"
    assert told(left).gone_by < account.time < told(left).gone_by + guard.LATE + guard.LOOK
    assert account.calls == [f"stop {left.id}"]


def test_the_guard_deletes_where_that_was_chosen(project, account, world, view, begin, run):
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin(on_deadline="delete")
    world.press = lambda: False
    account.live = lambda _: None
    guard.watch(run.folder, world=world, view=view)
    (machine,) = account.machines.values()
    assert machine.status == "TERMINATED"
    assert [pod.released for pod in read(run.journal).pods] == [True]


def test_the_guard_keeps_a_pod_that_stopped_by_itself(project, account, world, view, begin, run):
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin(on_deadline="delete")
    world.press = lambda: False
    (machine,) = account.machines.values()
    account.end(machine, "EXITED")  # as it does with a complete result, whatever was chosen
    guard.watch(run.folder, world=world, view=view)
    assert machine.status == "EXITED"


def test_the_guard_deletes_a_pod_that_never_came_up_at_its_deadline(
    account, world, view, begin, run
):
    account.bad_hosts = {gpu.id: ["pulling image"] for gpu in account.gpus}
    world.press = lambda: account.time > BEGIN + 60
    account.release = lambda _, **named: (_ for _ in ()).throw(ApiUnavailable("not now"))
    with pytest.raises(PodFailed):
        begin()
    del account.release
    guard.watch(run.folder, world=world, view=view)
    (machine,) = account.machines.values()
    assert machine.status == "TERMINATED"
    assert told(machine).gone_by <= account.time < told(machine).gone_by + 1


def test_the_guard_acts_though_a_launcher_hangs_with_the_lock(
    left, run, account, world, view, monkeypatch
):
    with run_folder.hold(run, world=world):
        guard.watch(run.folder, world=world, view=view)
    assert left.status == "EXITED"


def test_the_guard_ends_once_the_run_has_no_pod(begin, run, account, world, view):
    begin()
    before = account.time
    guard.watch(run.folder, world=world, view=view)
    assert account.time == before


def test_the_guard_is_one_process_with_the_key_in_its_environment_only(left, run, world):
    ((command, variables),) = world.started
    assert command[-2:] == ["guard", str(run.folder)]
    assert variables == {"RUNPOD_API_KEY": KEY}
    with run_folder.lock(guard.lock_file(run), world=world):
        assert guard.begin(run, world, KEY) is None


def test_a_pods_name_tells_run_machine_and_deadline():
    name = Name("20261122-1304-ab3f", "0123abcd", 1_800_000_000, 3)
    assert Name.parse(str(name)) == name
    assert Name.parse("sft-of-someone-else") is None


def rent_elsewhere(account, name, *, status="RUNNING"):
    """A pod that another machine rented."""
    machine = next(iter(account.machines.values()))
    other = replace(
        machine, id=f"x{len(account.machines)}", request=replace(machine.request, name=str(name))
    )
    other.status = status
    account.machines[other.id] = other
    return other


def test_reap_lets_go_what_is_late_or_over_and_keeps_what_may_hold_a_result(
    left, run, account, world, view
):
    now = int(account.time)
    young = rent_elsewhere(account, Name("b", "ffffffff", now + 99, 1))
    late = rent_elsewhere(account, Name("c", "ffffffff", now - 99, 1))
    kept = rent_elsewhere(account, Name("d", "ffffffff", now - 99, 1), status="EXITED")
    foreign = rent_elsewhere(account, "my-own-notebook")

    remaining, _ = receipt_and_reap.reap([], world=world, view=view)

    assert late.status == "EXITED"
    assert [m.status for m in (left, young, foreign)] == ["RUNNING"] * 3
    assert kept.status == "EXITED"
    assert {item["pod"]: item["action"] for item in remaining} == {
        left.id: "keep",
        young.id: "keep",
        late.id: "stop",
        kept.id: "keep",
    }
    receipt_and_reap.reap([kept.id, str(young.request.name)], world=world, view=view)
    assert [m.status for m in (kept, young)] == ["TERMINATED"] * 2
    with pytest.raises(NotFound):
        receipt_and_reap.reap([foreign.id], world=world, view=view)
    assert foreign.status == "RUNNING"
    receipt_and_reap.reap([left.id], world=world, view=view)
    before = account.time
    guard.watch(run.folder, world=world, view=view)
    assert account.time == before, "the guard knows"


def test_reap_deletes_the_pod_of_a_run_whose_result_is_home(begin, account, world, view, run):
    begin()
    (machine,) = account.machines.values()
    machine.status = "RUNNING"  # its delete was lost
    receipt_and_reap.reap([], world=world, view=view)
    assert machine.status == "TERMINATED"


def test_stop_saves_fetches_and_releases(project, account, world, view, begin, run):
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin()
    world.press = lambda: False
    with pytest.raises(TrainingFailed):
        stop("a", at_once=False, world=world, view=view)
    assert not manifest.verify(run.folder).complete
    assert not account.alive()


def test_stop_now_releases_at_once(left, account, world, view, run):
    with pytest.raises(Interrupted, match="nothing keeps running"):
        stop("a", at_once=True, world=world, view=view)
    assert left.status == "TERMINATED"
    assert status.look(run).state == "interrupted"
    with pytest.raises(NotFound, match="run a is not running"):
        stop("a", at_once=True, world=world, view=view)


def test_ps_tells_pod_cost_and_deadline(left, run, account):
    found = status.look(run, now=account.time + 1800)
    assert (found.state, found.pod, found.gpu) == ("running", left.id, "NVIDIA RTX A5000")
    assert found.cost == pytest.approx(0.139, abs=0.01)
    text = "\n".join(status.ps_lines([found]))
    assert f"pod {left.id} (NVIDIA RTX A5000), $0.14 so far, deadline" in text
    assert "launch attach a" in text
    late = status.look(run, now=account.time + 1e6)
    assert "launch fetch a" in late.reason
    text = "\n".join(status.ps_lines([late]))
    assert "so far" not in text, "it may bill on, and the clock does not know"
    assert "; cost after it: launch receipt a" in text


def test_a_bill_that_lags_is_asked_for_again(begin, account, world, view, run):
    account.bills = False
    begin()
    assert any("launch receipt a" in line for line in view.lines)
    account.bills = True
    facts, lines = receipt_and_reap.ask_receipt("a", world=world, view=view)
    assert facts["settled"]
    assert lines[0].startswith("receipt  charged $")


def test_a_dry_run_shows_the_requests_and_sends_none(project, account, world, view, settings):
    job = Job(data="data.jsonl", model="bundled:tiny")
    request = Request(job=job, run_id="a", where="runpod", settings=settings)
    (first, second), needed = preview(request, world=world, view=view)
    assert needed == []
    assert first["request"] == "POST /v2/pods"
    assert first["body"]["gpu"]["id"] == "NVIDIA RTX A5000"
    assert second["body"]["gpu"]["id"] == "NVIDIA GeForce RTX 3090"
    assert not account.created
    assert not (project / "runs").exists()
    assert any("at most $" in line for line in view.lines)


def test_a_dry_run_needs_neither_key_nor_image_nor_data(project, account, world, view):
    account.gpus[0] = account.gpus[0].model_copy(update={"availability": "NONE"})
    catalog.keep(account.catalog(), world)
    del world.variables["RUNPOD_API_KEY"]
    request = Request(job=Job(model="bundled:tiny"), run_id="a", where="runpod")
    (first, _), needed = preview(request, world=world, view=view)
    assert [fault.cause for fault in needed] == [
        "no data: --data is not given, and training_data/train_openai.jsonl does not exist",
        "no image for the pod",
        "no RunPod key",
    ]
    # the stock of an earlier day says nothing of today
    assert first["body"]["gpu"]["id"] == "NVIDIA RTX A5000"
    assert "prices of " in view.text
    assert "available now" not in view.text
    assert "of a typical set, because no data are given" in view.text
    assert "at most $" in view.text
    assert not account.created


def test_a_dry_run_without_any_price_shows_fit_and_time(project, account, world, view, settings):
    del world.variables["RUNPOD_API_KEY"]
    request = Request(job=Job(data="data.jsonl"), where="runpod", settings=settings)
    requests, needed = preview(request, world=world, view=view)
    assert requests == []
    assert [fault.cause for fault in needed] == ["no RunPod key"]
    assert "a run costs at most $2.00 and 6 h (--max-cost, --max-hours)" in view.text
    rows = [line for line in view.lines if line.startswith(("RTX", "A30", "L4"))]
    assert len(rows) == 6  # RunPod's cards with the A10G's memory
    assert all(" - " in row for row in rows)


def test_all_that_keeps_a_run_from_starting_is_told_at_once(begin, world):
    world.variables = {}
    with pytest.raises(NotFound) as caught:
        begin(job=Job(data="none.jsonl"), gpu="A1OG", image=None, track="wandb")
    told = [line for line in caught.value.faults if line[0].isdigit()]
    assert told[0].startswith("1. none.jsonl does not exist")
    assert told[1].startswith("2. --gpu A1OG: unknown card")
    assert told[-2:] == ["4. no image for the pod", "5. no RunPod key"]


def test_a_named_registry_credential_is_sent_by_its_id(begin, account):
    begin(registry="mine")
    assert account.created[0].registry == "reg1"


def test_an_unknown_volume_is_told_before_renting(begin, account):
    with pytest.raises(Usage, match="no network volume 'big'"):
        begin(volume="big")
    assert not account.created


def test_without_a_key_the_remedy_is_named(begin, world):
    del world.variables["RUNPOD_API_KEY"]
    with pytest.raises(KeyRejected, match="export RUNPOD_API_KEY"):
        begin()


def test_the_machines_id_stays(world):
    first = machine_id(world)
    assert len(first) == 8
    assert machine_id(world) == first


def test_without_a_launcher_the_guard_journals_the_end_of_a_pod_when_it_happens(
    left, run, account, world, view
):
    """A pod that is gone at night is not counted until the morning."""
    account.plans.append((account.time + 300, lambda: account.end(left, "TERMINATED")))
    guard.watch(run.folder, world=world, view=view)
    (pod,) = read(run.journal).pods
    assert pod.seen == "gone"
    assert left.ended is not None
    assert pod.seconds(1e12) == pytest.approx(left.ended - left.born, abs=2 * guard.LOOK)


def test_the_guard_holds_the_cap_at_the_rate_that_the_pod_has(account, run, begin, world, view):
    """$0.50 at three times the rate: a third of the time; no launcher follows the pod."""
    world.press = lambda: any(m.steps == 2 for m in account.machines.values())
    with pytest.raises(Interrupted):
        begin(max_cost=0.5, max_hours=6)
    world.press = lambda: False
    account.live, account.real_rate = lambda _: None, 0.8364
    guard.watch(run.folder, world=world, view=view)
    (machine,) = account.machines.values()
    assert machine.status == "EXITED"
    assert 0.4 < (machine.ended - machine.born) / 3600 * 0.8364 < 0.5 * 1.03
