"""The whole way on RunPod, in virtual time: what is sent, what stays, and that nothing bills on."""

import json

import pytest

from launcher.errors import (
    BadRequest,
    HostKeyChanged,
    NoCapacity,
    OverBudget,
    PaymentRequired,
    PodFailed,
    PodRefused,
)
from launcher.follow import Detached
from launcher.request import Request
from launcher.runs import run_folder, status
from launcher.runs.journal import read
from launcher.runs.rented_pods import Name
from launcher.runs.run_state import RunState
from launcher.runs.status import ps_lines
from launcher.ssh import CommandResult
from launcher.train import train
from tests.launcher.rental.account import COMPARISON, KEY, TOKEN
from trainer.contract import events, manifest
from trainer.contract import pod as border
from trainer.contract.command.errors import (
    BadData,
    BadJob,
    Interrupted,
    NoSpace,
    NotFound,
    ResultRejected,
    TrainingFailed,
    Usage,
)
from trainer.contract.job import Job

RUN = run_folder.Run


def run_of(project):
    return run_folder.Run("a", project / "runs" / "a")


def done(project):
    return [(e.what, e.stage) for e in read(run_of(project).journal) if e.stage != "intent"]


def the_pod(account):
    (machine,) = account.machines.values()
    return machine


def test_from_quote_to_receipt(project, account, begin, view, world):
    outcome = begin()

    run, machine = outcome.run, the_pod(account)
    assert outcome.manifest.complete
    assert machine.status == "TERMINATED"
    there = machine.root / "run"
    for name in ("adapter/weights.bin", "events.jsonl", "train.log", "manifest.json"):
        assert (run.folder / name).read_bytes() == (there / name).read_bytes(), name
    assert [step.step for step in outcome.steps] == [1, 2, 3, 4, 5, 6]
    assert done(project) == [
        ("created", "fact"),
        ("quote", "fact"),
        ("rent", "done"),
        ("guard", "fact"),
        ("up", "fact"),
        ("upload", "done"),
        ("secrets", "done"),
        ("start", "done"),
        ("fetch", "done"),
        ("verify", "done"),
        ("release", "done"),
        ("ended", "fact"),
    ]
    found = status.look(run, now=world.now())
    assert found.state == "finished"
    assert any(line.endswith("on NVIDIA RTX A5000, by elapsed time") for line in ps_lines([found]))
    bill = json.loads((run.folder / "receipt.json").read_text())
    assert bill["settled"]
    assert 0 < bill["charged"] < bill["quoted_most"] <= 2
    assert not (world.state_folder() / "keys" / "a").exists()
    assert any("at most $" in line for line in view.lines)
    assert view.lines.index(next(x for x in view.lines if "at most $" in x)) < next(
        i for i, x in enumerate(view.lines) if x.startswith("renting")
    )


def test_the_pod_is_told_both_instants_and_no_secret(account, begin, world):
    begin()
    (request,) = account.created
    told = border.PodSettings.from_env(request.env)
    name = Name.parse(request.name)
    assert name is not None
    assert name.run == "a"
    assert name.gone_by == int(told.gone_by)
    assert told.finish_by < told.gone_by
    assert (request.ports, request.gpu_count, request.min_cuda) == (("22/tcp",), 1, "13.0")
    assert request.env["PUBLIC_KEY"].startswith("ssh-ed25519 ")
    text = json.dumps(request.body())
    assert KEY not in text
    assert TOKEN not in text
    secret = the_pod(account).path(str(border.SECRETS / "HF_TOKEN"))
    assert secret.read_text() == TOKEN


def test_no_secret_in_what_is_kept_or_said(project, begin, view, world):
    begin()
    kept = [p for p in run_of(project).folder.rglob("*") if p.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        assert TOKEN.encode() not in content, path
    assert KEY not in view.text
    ((command, variables),) = world.started
    assert KEY not in " ".join(command)
    assert variables["RUNPOD_API_KEY"] == KEY


def test_the_next_card_is_tried_with_a_line_for_each(account, begin, view):
    account.refuse["NVIDIA RTX A5000"] = [NoCapacity("no instances available")]
    begin()
    assert [request.gpu_id for request in account.created] == [
        "NVIDIA RTX A5000",
        "NVIDIA GeForce RTX 3090",
    ]
    assert len({request.name for request in account.created}) == 2
    first, second = (border.PodSettings.from_env(r.env) for r in account.created)
    assert second.gone_by < first.gone_by  # dearer: the same money lasts less long
    assert "NVIDIA RTX A5000: no instances available" in view.lines
    assert not account.alive()


@pytest.mark.parametrize(
    ("fault", "tried"),
    [
        (NoCapacity("none"), 2),
        (BadRequest("a rule", status=400), 2),
        (BadRequest("no such key", status=422), 1),
        (PaymentRequired("balance"), 1),
    ],
)
def test_when_nothing_can_be_rented_the_reason_is_kept(project, account, begin, fault, tried):
    for gpu in account.gpus:
        account.refuse[gpu.id] = [fault]
    with pytest.raises(type(fault)):
        begin()
    assert len(account.created) == tried
    assert not account.machines
    assert status.look(run_of(project)).state == "failed"


def test_a_pod_dearer_than_its_quote_is_let_go(account, begin):
    account.real_rate = 3.0
    with pytest.raises(OverBudget):
        begin()
    assert len(account.machines) == 2
    assert not account.alive()


def test_a_cap_too_small_is_refused_before_anything_is_made(project, account, begin):
    with pytest.raises(OverBudget, match="--max-cost"):
        begin(max_cost=0.01)
    assert not (project / "runs").exists()
    assert not account.created


def test_without_an_image_nothing_is_begun(project, account, begin):
    with pytest.raises(Usage, match="--image-repo"):
        begin(image=None)
    assert not (project / "runs").exists()


def test_a_pull_error_fails_at_once_and_lets_go(account, begin):
    account.system = ["error pulling image: manifest unknown"]
    with pytest.raises(PodFailed, match="manifest unknown"):
        begin()
    assert the_pod(account).status == "TERMINATED"


def test_another_host_key_is_refused_before_anything_is_sent(account, begin):
    account.bad_key = True
    with pytest.raises(HostKeyChanged):
        begin()
    machine = the_pod(account)
    assert machine.status == "TERMINATED"
    assert machine.ended - machine.born < 10, (
        "at once: nothing was restarted, no port is an old one"
    )
    assert account.moved == 0


def test_another_host_key_after_a_restart_may_be_an_old_port_for_a_while(account, begin, world):
    def strike():
        machine = next(iter(account.machines.values()), None)
        if machine and machine.steps == 3 and machine.boots == 1:
            account.time += 30
            machine.boots, machine.born = 2, account.time  # and the log names no new key yet
            account.plans.append((account.time + 60, lambda: tell(machine)))
        return False

    def tell(machine):
        line = border.host_key_line("a", machine.boots, machine.host_key)
        account.say(machine, "container", line)

    world.press = strike
    assert begin().manifest.complete


def test_a_pod_that_cannot_stop_itself_needs_consent(account, begin, project):
    account.probed = f"{border.MAY_NOT_ACT}: 403"
    with pytest.raises(PodRefused, match="--unguarded yes"):
        begin()
    assert not account.alive()
    assert not list((the_pod(account).root / "inbox").iterdir())


def test_with_consent_it_goes_on_without_that_guard(account, begin):
    account.probed = f"{border.MAY_NOT_ACT}: 403"
    assert begin(unguarded=True).manifest.complete


@pytest.mark.parametrize("said", [border.MAY_STOP, border.MAY_DELETE])
def test_a_key_that_may_only_do_one_thing_is_accepted_and_told(account, begin, view, said):
    account.probed = said
    assert begin().manifest.complete
    assert any(said in line for line in view.lines)


def test_a_probe_that_ended_the_pod_is_told(account, begin):
    account.probed = f"{border.ENDED_BY_PROBE}: RunPod carried out an invalid stop"
    with pytest.raises(PodFailed, match="ends before training: RunPod carried out"):
        begin()
    assert not account.alive()


def test_a_full_disk_in_the_pod_is_said_and_it_is_let_go(account, begin):
    account.behaviour = "full"
    with pytest.raises(PodRefused, match="No space left"):
        begin()
    assert not account.alive()


def test_a_link_that_breaks_loses_and_repeats_nothing(project, account, begin, view, world):
    account.cuts = [1, 200, 500_000, 2_000_000]
    struck = set()

    def strike():
        steps = max((m.steps for m in account.machines.values()), default=0)
        if steps in {2, 4} and steps not in struck:
            struck.add(steps)
            account.cuts.insert(0, 0)
        return False

    world.press = strike
    outcome = begin()
    assert struck == {2, 4}
    assert not account.cuts
    seen, _ = events.read(outcome.run.events)
    assert [event.seq for event in seen] == list(range(len(seen)))
    assert any("the pod keeps training, connecting again" in line for line in view.lines)


def test_a_restarted_container_is_found_again_with_its_new_key(account, begin, world):
    struck: list[object] = []

    def strike():
        machine = next(iter(account.machines.values()), None)
        if machine and machine.steps == 3 and not struck:
            struck.append(machine)
            machine.boots += 1
            machine.port += 1
            line = border.host_key_line("a", machine.boots, machine.host_key)
            account.say(machine, "container", line)
        return False

    world.press = strike
    assert begin().manifest.complete
    assert struck


def test_a_failed_training_is_told_and_its_pod_released(project, account, begin):
    account.behaviour = "fail"
    with pytest.raises(TrainingFailed, match="not a number"):
        begin()
    assert not account.alive()
    found = status.look(run_of(project))
    assert (found.state, found.reason) == ("failed", "loss is not a number")


def test_at_the_deadline_what_was_trained_is_brought_home(project, account, begin, view):
    account.behaviour = "hang"
    with pytest.raises(TrainingFailed, match="the time is up"):
        begin()
    run = run_of(project)
    assert not manifest.verify(run.folder).complete
    assert the_pod(account).status == "TERMINATED"
    assert any(str(run.adapter) in line for line in view.lines)


def test_ctrl_c_before_training_releases(project, account, begin, world):
    world.press = lambda: True
    account.system = []
    account.boot = lambda machine: None  # never comes up
    with pytest.raises(Interrupted, match="before"):
        begin()
    assert not account.alive()
    assert status.look(run_of(project)).state == "interrupted"


def press_at_step(account, world, step):
    world.press = lambda: any(m.steps == step for m in account.machines.values())


def test_ctrl_c_in_training_detaches_and_says_what_goes_on(project, account, begin, world, again):
    press_at_step(account, world, 2)
    with pytest.raises(Detached) as caught:
        begin()
    assert "keeps training" in caught.value.cause
    assert "at most $" in caught.value.cause
    assert "launch attach a" in caught.value.hint
    assert len(account.alive()) == 1
    assert status.look(run_of(project), now=world.now()).state == "running"
    world.press = lambda: False
    assert again().manifest.complete
    assert not account.alive()


def test_ctrl_c_with_on_interrupt_stop_saves_fetches_and_releases(project, account, begin, world):
    press_at_step(account, world, 2)
    with pytest.raises(TrainingFailed):
        begin(on_interrupt="stop")
    assert not account.alive()
    assert not manifest.verify(run_of(project).folder).complete


def detach(account, world, begin):
    press_at_step(account, world, 2)
    with pytest.raises(Interrupted):
        begin()
    world.press = lambda: False


def test_a_laptop_gone_past_the_deadline_fetches_from_the_stopped_pod(
    project, account, begin, world, again
):
    detach(account, world, begin)
    for _ in range(800):
        account.pass_time(30)
    machine = the_pod(account)
    assert machine.status == "EXITED"
    assert machine.ended <= border.PodSettings.from_env(machine.request.env).gone_by + 30
    with pytest.raises(PodFailed, match="launch fetch a"):
        again()
    assert machine.status == "EXITED"
    assert again(start_stopped=True).manifest.complete
    assert machine.status == "TERMINATED"


def test_a_pod_that_vanished_is_told(project, account, begin, world, again):
    detach(account, world, begin)
    account.end(the_pod(account), "TERMINATED")
    with pytest.raises(NotFound, match="launch train --resume a"):
        again()


def test_attach_to_what_has_ended_verifies_or_refuses(account, begin, again):
    begin()
    assert again().manifest.complete
    assert len(account.created) == 1


def test_resume_after_a_failure_rents_anew_and_keeps_the_old_events(
    project, account, begin, world, view
):
    account.behaviour = "fail"
    with pytest.raises(TrainingFailed):
        begin()
    account.behaviour = "good"
    outcome = train(Request(resume="a"), world=world, view=view)
    assert outcome.manifest.complete
    assert (outcome.run.folder / "attempt-1" / "events.jsonl").exists()
    assert not account.alive()


def test_a_resumed_run_goes_on_from_the_checkpoint_that_came_home(
    project, account, begin, world, view
):
    def ask():
        if any(m.steps == 3 for m in account.machines.values()):
            account.behaviour = "asked"
        return False

    world.press = ask
    with pytest.raises(TrainingFailed):
        begin()
    world.press, account.behaviour = lambda: False, "good"
    run = run_of(project)
    assert (run.folder / "checkpoints/checkpoint-3/rng/state.pt").read_bytes() == b"r" * 5000

    allowed = {"allow_precision_change": True}
    outcome = train(Request(resume="a", job_changes=allowed), world=world, view=view)

    assert outcome.manifest.complete
    assert [step.step for step in outcome.steps] == [1, 2, 3, 4, 5, 6]
    begun = next(e for e in events.read(run.events)[0] if isinstance(e, events.Step))
    assert begun.step == 4
    second = list(account.machines.values())[1]
    assert json.loads((second.root / "run/job.json").read_bytes())["allow_precision_change"]
    there = second.root / "run/checkpoints/checkpoint-3"
    assert (there / "rng/state.pt").read_bytes() == b"r" * 5000
    assert (
        sorted(p.name for p in (second.root / "inbox").iterdir() if p.stat().st_size == 5000) == []
    )


def test_a_result_changed_on_the_way_keeps_the_pod(project, account, begin, monkeypatch):
    real = account.get_ready

    def spoil(machine):
        (machine.root / "run" / "adapter" / "weights.bin").write_bytes(b"x" * 3_000_000)
        real(machine)

    monkeypatch.setattr(account, "get_ready", spoil)
    with pytest.raises(ResultRejected):
        begin()
    assert the_pod(account).status == "RUNNING"  # it stops itself, with its disk kept


def test_the_image_and_its_upload_stand_in_the_quote_and_are_not_made_twice(
    account, begin, view, world, monkeypatch
):
    from launcher.image import build

    found = build.ImageState("repo:tag", None, built=False, upload=2_000_000)
    made: list[str] = []
    monkeypatch.setattr(world, "docker", lambda: None)
    monkeypatch.setattr(build, "standing", lambda *_, **__: found)

    def make(*_, **__):
        made.append("repo@sha256:1")
        return made[-1]

    monkeypatch.setattr(build, "ensure_image", make)
    account.behaviour = "fail"
    with pytest.raises(TrainingFailed):
        begin(image=None, image_repo="repo")
    quoted = next(i for i, line in enumerate(view.lines) if "about 2.0 MB" in line)
    assert quoted < next(i for i, line in enumerate(view.lines) if line.startswith("renting"))
    assert any("2 of 6 kinds are available now with CUDA 13.0" in line for line in view.lines)

    account.behaviour = "good"
    view.lines.clear()
    train(Request(resume="a"), world=world, view=view)
    assert not any("image:" in line for line in view.lines)
    assert {request.image for request in account.created} == {"repo@sha256:1"}
    assert len(made) == 1


def test_without_a_new_enough_driver_the_flavour_that_reaches_cards_is_named(account, begin):
    account.gpus = [gpu.model_copy(update={"cuda": {"12.8": True}}) for gpu in account.gpus]
    with pytest.raises(NoCapacity, match=r"--cuda 12\.8"):
        begin()


def test_episodes_and_their_tables_go_along_and_the_comparison_comes_home(
    project, account, begin, evaluated
):
    outcome = begin(job=evaluated)
    there = the_pod(account).root / "run"
    for name in ("comparison.json", "evaluation/base.jsonl"):
        assert (outcome.run.folder / name).read_bytes() == (there / name).read_bytes()
    assert outcome.comparison == COMPARISON
    assert len(list((the_pod(account).root / "inbox").glob("?" * 64))) == 3
    assert not account.alive()


def test_a_table_that_has_changed_is_told_before_anything_is_rented(
    project, account, begin, evaluated
):
    (project / "t.csv").write_text("a,b\n3,4\n")
    with pytest.raises(BadData, match="cannot be used for an evaluation") as caught:
        begin(job=evaluated)
    assert "../t.csv has changed" in caught.value.faults[0]
    assert not account.created


def test_episodes_to_choose_by_go_along_too(project, account, begin, evaluated):
    other = json.loads((project / "episodes" / "test.jsonl").read_text()) | {"other": 1}
    (project / "episodes" / "v.jsonl").write_text(json.dumps(other) + "\n")
    asked = {"keep": "best", "validation": "episodes/v.jsonl"}
    begin(job=evaluated.model_copy(update=asked))
    there = the_pod(account).root
    job = Job.from_json(there / "run" / "job.json")
    assert job.validation is not None
    assert json.loads((there / job.validation).read_text()) == other
    assert len(list((there / "inbox").glob("?" * 64))) == 4


def test_a_question_to_choose_by_that_is_evaluated_is_refused_before_anything_is_rented(
    project, account, begin, evaluated
):
    asked = {"keep": "best", "validation": evaluated.evaluate}
    with pytest.raises(BadData, match="cannot measure it"):
        begin(job=evaluated.model_copy(update=asked))
    with pytest.raises(BadJob, match="--validate"):
        begin(job=evaluated.model_copy(update={"keep": "best"}))
    assert not account.created


def test_a_pod_may_name_no_other_file_among_the_results(project, account, begin, evaluated):
    def spoil(session, command):
        return CommandResult(0, f"{'0' * 64} 5 ./journal.jsonl\n".encode(), b"")

    account.answers["find comparison.json"] = spoil
    outcome = begin(job=evaluated)
    assert outcome.comparison is None
    assert read(outcome.run.journal)[-1].what == "ended"


def test_results_that_arrive_changed_do_not_cost_the_adapter(
    project, account, begin, view, evaluated
):
    def spoil(session, command):
        return CommandResult(0, f"{'0' * 64} 5 comparison.json\n".encode(), b"")

    account.answers["find comparison.json"] = spoil
    assert begin(job=evaluated).manifest.complete
    assert any("evaluation cannot be downloaded" in line for line in view.lines)
    assert not account.alive()


def test_a_resumed_run_may_have_more_money_and_more_disk(project, account, begin, world, view):
    account.behaviour = "hang"
    with pytest.raises(TrainingFailed, match="the time is up"):
        begin(max_cost=0.1)
    account.behaviour = "good"
    changes = {"max_cost": "5", "mount": "80"}
    assert train(Request(resume="a", changes=changes), world=world, view=view).manifest.complete
    assert [request.volume_gb for request in account.created] == [40, 80]
    kept = RunState(read(run_of(project).journal)).summary["settings"]
    assert (kept["max_cost"], kept["mount"]) == (5.0, 80)


def test_a_run_at_work_keeps_its_settings(project, account, begin, world, view):
    detach(account, world, begin)
    with pytest.raises(Usage, match="settings cannot change"):
        train(Request(resume="a", changes={"max_cost": 5}), world=world, view=view)
    assert len(account.alive()) == 1


def test_a_full_disk_in_training_says_to_rent_a_larger_one(project, account, begin, monkeypatch):
    monkeypatch.setattr(account, "train", lambda machine, run: full(account, machine))
    with pytest.raises(NoSpace) as caught:
        begin()
    assert caught.value.hint == "rent a larger disk: launch train --resume a --mount 80"


def full(account, machine):
    account.tell(machine, events.Failed(cause="the disk is full", hint="free some", exit_code=8))
    account.get_ready(machine)
