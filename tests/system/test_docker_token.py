"""`--on docker`: the token in the container's memory, and a resumed run that ends well."""

import json
from pathlib import Path

import pytest

from launcher.image.build import ensure_built, recipe
from launcher.machines.docker import FOLDER, TOKEN, Docker
from launcher.request import Request
from launcher.runs.run_folder import Run, hold
from launcher.train import train
from tests.system.client import until
from trainer.contract import events
from trainer.contract.job import Job
from trainer.contract.options import CheckpointEvery

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
CANARY = "hf_CANARY9876543210"


@pytest.fixture(autouse=True)
def image(engine, image_settings, context) -> str:
    """Built before the clock of a test runs."""
    return ensure_built(recipe(image_settings), client=engine.client, context=context)


@pytest.fixture
def start(engine, context, tmp_path, monkeypatch):
    """``start(model=...)``: a container at work on a job, and its run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    talk = [("user", "what is 1 + 1?"), ("assistant", "submit(2)")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 8, "utf-8")
    folder = tmp_path / "out"
    folder.mkdir()

    def make(**changes):
        values = {"model": "bundled:tiny", "batch_size": 2, **changes}
        job = Job(data=str(tmp_path / "rows.jsonl"), output=str(folder), **values)
        run = Run("r1", folder)
        run.job.write_text(job.to_json(), "utf-8")
        with hold(run, world=context.world) as log:
            facts = job.model_dump(mode="json")
            settings = context.settings.model_dump(mode="json")
            log.fact("created", id="r1", where="docker", job=facts, settings=settings)
            return run, Docker(context).start(run, job, log, resume=False)

    yield make
    mine = {"label": f"{FOLDER}={folder}"}
    for left in engine.client.containers.list(all=True, filters=mine):
        left.remove(force=True)


def test_the_token_is_in_memory_and_nowhere_else(start, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    run, work = start(model="nobody/nothing-3b")
    code, told = work.handle.exec_run(["sh", "-c", f"stat -c '%a %u' {TOKEN}; cat {TOKEN}"])
    assert code == 0
    mode, value = told.decode().splitlines()
    assert (mode.split()[0], value) == ("600", CANARY)
    work.handle.reload()
    assert CANARY not in json.dumps(work.handle.attrs)
    environments = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; true"
    assert CANARY.encode() not in work.handle.exec_run(["sh", "-c", environments])[1]
    work.kill()
    until(lambda: not work.alive(), seconds=60)
    kept = [path for path in Path(run.folder).rglob("*") if path.is_file()]
    assert all(CANARY.encode() not in path.read_bytes() for path in kept)


def test_a_resumed_run_ends_with_a_verified_adapter(start, context):
    every = CheckpointEvery(steps=2)
    run, work = start(max_steps=60, checkpoint=every)
    until(
        lambda: any(isinstance(one, events.Checkpoint) for one in events.read(run.events)[0]),
        seconds=90,
    )
    work.stop()
    until(lambda: not work.alive(), seconds=60)
    outcome = train(Request(resume=str(run.folder)), world=context.world, view=context.view)
    assert outcome.manifest.complete
    assert [step.step for step in outcome.steps] == list(range(1, 61))
