"""`--on docker`: the story on the local engine, with the real image; and a launcher that dies in it."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from launcher.follow import watch
from launcher.image.build import ensure_built, recipe
from launcher.machines import MACHINES
from launcher.machines.docker import FOLDER, Docker, name_of
from launcher.request import Request
from launcher.runs.run_folder import Run, hold, is_locked
from launcher.train import train
from tests.system.client import until
from trainer.contract import events
from trainer.contract.command.errors import Interrupted, Locked
from trainer.contract.job import Job

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]
OWNER = 1234
SOCKET = Path("/var/run/docker.sock")


@pytest.fixture(autouse=True)
def image(engine, image_settings, context) -> str:
    """Built before the clock of a test runs."""
    return ensure_built(recipe(image_settings), client=engine.client, context=context)


@pytest.fixture
def home(monkeypatch) -> Iterator[Path]:
    """A folder that others may enter, as no folder of pytest's is; home of whoever the test acts as."""
    with tempfile.TemporaryDirectory(prefix="sft-") as name:
        monkeypatch.setenv("HOME", name)
        monkeypatch.setenv("XDG_STATE_HOME", f"{name}/state")
        yield Path(name)


@pytest.fixture
def user(home, image) -> Iterator[int]:
    """Somebody who is not root and may use the engine; root where nobody else can read this code."""
    if os.getuid() != 0 or not all(one.stat().st_mode & 1 for one in Path(sys.prefix).parents):
        yield os.geteuid()
        return
    os.chown(home, OWNER, OWNER)
    groups = os.getgroups()
    os.setgroups([SOCKET.stat().st_gid])
    os.setegid(OWNER)
    os.seteuid(OWNER)
    try:
        yield OWNER
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def job(engine, home, user) -> Iterator[Job]:
    """Data and run folder lie in different places."""
    talk = [("user", "what is 1 + 1?"), ("assistant", "submit(2)")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    data = home / "elsewhere" / "rows.jsonl"
    data.parent.mkdir()
    data.write_text(f"{json.dumps(row)}\n" * 8, "utf-8")
    (home / "out").mkdir()
    yield Job(
        model="bundled:tiny",
        data=str(data),
        output=str(home / "out"),
        max_steps=4,
        batch_size=2,
    )
    mine = {"label": f"{FOLDER}={home / 'out'}"}
    for left in engine.client.containers.list(all=True, filters=mine):
        left.remove(force=True)


def long(job: Job) -> Job:
    return job.model_copy(update={"max_steps": 5000, "checkpoint": job.checkpoint})


def gone(engine, name: str) -> bool:
    try:
        engine.client.containers.get(name)
    except docker.errors.NotFound:
        return True
    return False


def start(context, job: Job, *, resume: bool = False):
    """A run whose trainer was started, as by a launcher that is killed then."""
    run = Run("r1", Path(job.output))
    run.job.write_text(job.to_json(), "utf-8")
    with hold(run, world=context.world) as log:
        return run, Docker(context).start(run, job, log, resume=resume)


def found(context, run: Run):
    with hold(run, world=context.world) as log:
        return Docker(context).find(run, log)


def test_the_story_ends_with_a_verified_adapter_of_the_users(engine, context, job, user):
    assert "docker" in MACHINES
    request = Request(job, run_id="r1", where="docker", settings=context.settings)
    outcome = train(request, world=context.world, view=context.view)
    assert outcome.manifest.complete
    assert [step.step for step in outcome.steps] == [1, 2, 3, 4]
    theirs = {"adapter", "events.jsonl", "manifest.json", "train.log"}
    owners = {name: (outcome.run.folder / name).stat().st_uid for name in theirs}
    assert owners == dict.fromkeys(theirs, user)
    assert gone(engine, name_of(outcome.run))


def test_a_trainer_whose_launcher_died_is_found_stopped_and_resumed(engine, context, job):
    run, first = start(context, long(job))
    assert first.pid
    until(
        lambda: any(isinstance(one, events.Step) for one in events.read(run.events)[0]), seconds=90
    )
    assert is_locked(run.trainer_lock)
    with pytest.raises(Locked, match="--resume r1"):
        start(context, long(job))
    work = found(context, run)
    assert work is not None
    assert work.alive()
    work.stop()
    until(lambda: not work.alive(), seconds=60)
    assert work.exit_code() == Interrupted.exit_code
    assert list((run.folder / "checkpoints").iterdir())
    assert found(context, run) is None
    assert gone(engine, name_of(run))
    _, again = start(context, long(job), resume=True)
    again.kill()
    until(lambda: not again.alive(), seconds=60)
    assert again.exit_code() == -9


def test_a_container_that_is_removed_ends_the_run_and_the_command_shown_resumes_it(
    engine, context, job, capsys
):
    run, first = start(context, job.model_copy(update={"max_steps": 5000}))
    until(lambda: any(events.read(run.events)[0]), seconds=90)
    engine.client.containers.get(name_of(run)).remove(force=True)  # docker rm -f
    with hold(run, world=context.world) as log:
        fault = watch(run, first, log, context)
    assert fault is not None
    assert fault.cause == f"the trainer ended because its container {name_of(run)} was removed"
    assert "keeps running" not in capsys.readouterr().out
    assert not is_locked(run.trainer_lock)
    command = fault.hint.removeprefix("continue from the last checkpoint with: launch train ")
    assert command == "--resume r1"
    run.job.write_text(job.to_json(), "utf-8")
    _, again = start(context, job, resume=True)
    until(lambda: not again.alive(), seconds=90)
    assert again.exit_code() == 0


def test_what_a_container_says_before_it_trains_is_in_the_log(context, job):
    run, work = start(context, job.model_copy(update={"data": "/nowhere/at/all"}))
    until(lambda: not work.alive(), seconds=60)
    assert work.exit_code() not in {None, 0}
    assert "error" in run.log.read_text("utf-8")
