import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from launcher.machines import here
from launcher.request import Request, resolve
from launcher.runs import journal, run_folder, status
from launcher.train import train
from trainer.contract import events
from trainer.contract.command.errors import (
    BadData,
    Interrupted,
    Locked,
    NoSpace,
    NotInstalled,
    OutputExists,
    ResultRejected,
    TrainingFailed,
)
from trainer.contract.job import Job


def entries(run: run_folder.Run) -> list[tuple[str, str]]:
    return [(entry.what, entry.stage) for entry in journal.read(run.journal)]


def only_run(world) -> run_folder.Run:
    (run,) = run_folder.index(world=world)
    return run


def test_a_run_from_job_to_verified_adapter(folder, job, world, heard):
    outcome = train(Request(job=job), world=world(), view=heard)

    run = outcome.run
    assert run.folder == folder / "runs" / run.id
    assert outcome.manifest.complete
    assert [step.step for step in outcome.steps] == [1, 2, 3, 4, 5, 6]
    assert entries(run) == [
        ("created", "fact"),
        ("start", "intent"),
        ("start", "done"),
        ("verify", "intent"),
        ("verify", "done"),
        ("ended", "fact"),
    ]
    assert run_folder.index(world=world()) == [run]
    assert status.look(run).state == "finished"
    assert "training good" in run.log.read_text()
    saved = Job.from_json(run.job)
    assert saved.output == str(run.folder)
    assert saved.data == str(folder / "data.jsonl")
    assert saved.hash() == job.hash()


def test_the_run_lies_where_the_job_says(folder, world, heard):
    job = Job(data="data.jsonl", output="mine")
    outcome = train(Request(job=job, run_id="first"), world=world(), view=heard)
    assert outcome.run == run_folder.Run("first", folder / "mine")
    assert run_folder.find("first", world=world()) == outcome.run


@pytest.mark.parametrize(
    ("behaviour", "fault", "says"),
    [
        ("crash", TrainingFailed, "with exit code 1"),
        ("killed", TrainingFailed, "SIGKILL (out of memory"),
        ("refuse", NoSpace, "the disk is full"),
        ("lie", ResultRejected, "does not match its manifest"),
    ],
)
def test_a_failure_is_told_journalled_and_kept(behaviour, fault, says, job, world, heard):
    with pytest.raises(fault) as caught:
        train(Request(job=job), world=world(behaviour), view=heard)

    assert says in caught.value.cause
    found = status.look(only_run(world()))
    assert found.state == "failed"
    assert says in found.reason
    if behaviour in {"crash", "killed", "refuse"}:
        assert f"launch train --resume {found.id}" in caught.value.hint
    if behaviour == "crash":
        assert "  RuntimeError: no such luck" in caught.value.faults


def test_resume_continues_from_the_checkpoint_in_the_same_folder(job, world, heard):
    with pytest.raises(TrainingFailed):
        train(Request(job=job), world=world("killed"), view=heard)
    run = only_run(world())

    outcome = train(Request(resume=run.id), world=world(), view=heard)

    assert outcome.run == run
    seen, _ = events.read(run.events)
    begun = [e.detail for e in seen if isinstance(e, events.Phase)]
    assert begun == ["from step 0", "from step 3"]
    assert [step.step for step in outcome.steps] == [1, 2, 3, 4, 5, 6]
    assert status.look(run).state == "finished"


def test_a_resumed_run_may_go_on_in_another_precision(job, world, heard):
    with pytest.raises(TrainingFailed):
        train(Request(job=job), world=world("killed"), view=heard)
    run = only_run(world())
    allowed = {"allow_precision_change": True}

    train(Request(resume=run.id, job_changes=allowed), world=world(), view=heard)

    assert Job.from_json(run.job).allow_precision_change


@pytest.mark.parametrize(
    ("behaviour", "typed", "begun"),
    [
        ("full", "--resume {} --set plan.tokens=64", ["from step 0", "from step 3"]),
        ("killed", "--resume {} --set plan.tokens=64", ["from step 0", "from step 3"]),
        ("steep", "--resume {} --overwrite --set lr=0.0001", ["from step 0"]),
    ],
)
def test_the_command_of_a_hint_brings_the_run_to_its_end(launch, folder, behaviour, typed, begun):
    """It is typed as it stands: what failed does not fail again."""
    done = launch("train", "--run-id", "a", "--set", "data=data.jsonl", behaviour=behaviour)
    assert done.returncode == TrainingFailed.exit_code
    hint = done.stderr.strip().rsplit("with: launch train ", 1)[-1]
    assert hint == typed.format("a")
    again = launch("train", *shlex.split(hint), behaviour=behaviour)
    assert again.returncode == 0, again.stderr
    seen, _ = events.read(folder / "runs" / "a" / "events.jsonl")
    assert [e.detail for e in seen if isinstance(e, events.Phase)] == begun


def test_a_change_lasts_over_the_next_resume(job, world, heard):
    with pytest.raises(TrainingFailed):
        train(Request(job=job), world=world("killed"), view=heard)
    run = only_run(world())
    train(Request(resume=run.id, job_sets=["plan.tokens=32"]), world=world(), view=heard)
    assert Job.from_json(run.job).plan.tokens == 32
    assert resolve(Request(resume=run.id), world=world()).job.plan.tokens == 32


def test_resuming_a_moved_folder_writes_there(folder, job, world, heard):
    with pytest.raises(TrainingFailed):
        train(Request(job=job), world=world("killed"), view=heard)
    moved = (folder / "runs").rename(folder / "kept")
    (inside,) = moved.iterdir()

    outcome = train(Request(resume=str(inside)), world=world(), view=heard)

    assert outcome.run.folder == inside
    assert not (folder / "runs").exists()


def test_resuming_a_finished_run_only_verifies_it(job, world, heard):
    run = train(Request(job=job), world=world(), view=heard).run
    before = run.events.read_bytes()

    train(Request(resume=run.id), world=world("crash"), view=heard)

    assert run.events.read_bytes() == before
    assert entries(run).count(("start", "done")) == 1


def test_what_lies_in_the_folder_is_not_touched_unasked(job, world, heard):
    run = train(Request(job=job, run_id="a"), world=world(), view=heard).run
    before = {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}

    with pytest.raises(OutputExists, match="--overwrite"):
        train(Request(job=job, run_id="a"), world=world(), view=heard)

    assert {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} == before


def test_overwrite_begins_anew(job, world, heard):
    run = train(Request(job=job, run_id="a"), world=world(), view=heard).run
    (run.folder / "loss.png").write_text("old")

    train(Request(job=job, run_id="a", overwrite=True), world=world(), view=heard)

    assert not (run.folder / "loss.png").exists()
    assert len([e for e in events.read(run.events)[0] if isinstance(e, events.Done)]) == 1
    assert status.look(run).state == "finished"


def test_bad_data_leaves_nothing_behind(folder, job, world, heard):
    (folder / "data.jsonl").write_text("")
    with pytest.raises(BadData, match=r"^data\.jsonl"):
        train(Request(job=job), world=world(), view=heard)
    assert [path.name for path in folder.iterdir()] == ["data.jsonl"]
    assert run_folder.index(world=world()) == []


def test_a_missing_extra_is_named_with_what_installs_it(folder, job, world, heard, monkeypatch):
    monkeypatch.setattr(here, "NEEDED", ("json", "no_such_module"))
    with pytest.raises(NotInstalled, match=r"no_such_module.*pip install") as caught:
        train(Request(job=job), world=world(), view=heard)
    assert "json" not in caught.value.cause
    assert not (folder / "runs").exists()


def test_an_index_that_cannot_be_written_does_not_stop_a_run(
    folder, job, world, heard, monkeypatch
):
    (folder / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "file"))
    train(Request(job=job), world=world(), view=heard)
    assert any("launch ps will not list this run" in line for line in heard.lines)


def begin(command, folder: Path, behaviour: str) -> tuple[subprocess.Popen[str], run_folder.Run]:
    """Start a launcher whose trainer goes on for ten seconds; return it once a step was trained."""
    process = subprocess.Popen(
        command(behaviour, "train", "--data", "data.jsonl", "--run-id", "a"),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    run = run_folder.Run("a", folder / "runs" / "a")
    deadline = time.monotonic() + 30
    while len(events.read(run.events)[0]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, run


def test_a_killed_launcher_leaves_a_trainer_that_is_picked_up(folder, command, job, world, heard):
    process, run = begin(command, folder, "slow")
    try:
        with pytest.raises(Locked, match=rf"process {process.pid}"):
            train(Request(resume="a"), world=world(), view=heard)
    finally:
        process.kill()
        process.wait()
    assert status.look(run).state == "running"
    assert entries(run)[-1] == ("start", "done")
    with pytest.raises(Locked, match="still running"):
        train(Request(job=job, run_id="a", overwrite=True), world=world(), view=heard)

    class Impatient(type(world())):  # type: ignore[misc]
        """Sends Ctrl-C as soon as the picked-up trainer is watched."""

        def sleep(self, seconds: float, *, stop: object = None) -> None:
            signal.raise_signal(signal.SIGINT)
            super().sleep(seconds)

    with pytest.raises(Interrupted, match="checkpoint saved at step"):
        train(Request(resume="a"), world=Impatient("crash"), view=heard)

    assert not run_folder.is_locked(run.trainer_lock)
    assert entries(run).count(("start", "intent")) == 1
    assert ("adopted", "fact") in entries(run)
    assert status.look(run).state == "interrupted"


def test_a_trainer_that_ended_unseen_is_told_by_its_events(folder, command, world, heard):
    process, run = begin(command, folder, "slow")
    process.kill()
    process.wait()
    pid = journal.read(run.journal)[-1].facts["pid"]
    world().signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while run_folder.is_locked(run.trainer_lock):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    found = status.look(run)
    assert (found.state, found.step is not None) == ("dead", True)
    assert "launch train --resume a" in found.reason
    assert train(Request(resume="a"), world=world(), view=heard).manifest.complete
