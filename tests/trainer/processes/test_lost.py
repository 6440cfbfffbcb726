"""A training that loses one of its processes, or one machine, ends soon and says which: real processes, gloo.

Each starts Python with torch twice, so one run has many assertions.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer import checkpoints
from trainer.contract import events
from trainer.contract.command.errors import ProcessLost
from trainer.contract.job import from_sources
from trainer.processes import local
from trainer.signals import StopRequest

LOST = ProcessLost.exit_code
# The trainer with limits of seconds; the second process gets a signal at its third step, if one is named.
DRIVER = """
import os, signal, sys
from trainer.processes import peers, rendezvous
from trainer.__main__ import _main
from trainer.contract.command.errors import run_main

peers.BEAT, peers.SILENT, peers.END_WAITING = 0.2, 75, 0.5
rendezvous.SAY_AFTER, rendezvous.ONE_MACHINE, rendezvous.SEVERAL_MACHINES = 1.0, 60.0, 10.0
name, *arguments = sys.argv[1:]
if name and os.environ.get("RANK") == "1":
    from trainer.loop.callbacks import RunCallback

    plain = RunCallback.on_step_end

    def on_step_end(callback, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), getattr(signal, name))
        plain(callback, args, state, control, **kwargs)

    RunCallback.on_step_end = on_step_end
sys.exit(run_main(_main, arguments))
"""


@pytest.fixture
def job(base_model, tmp_path):
    data = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "mean?"}, {"role": "assistant", "content": "submit(1)"}]
    data.write_text((json.dumps({"messages": turns}) + "\n") * 8)
    (tmp_path / "driver.py").write_text(DRIVER)
    places = {"model": str(base_model), "data": str(data), "output": str(tmp_path / "run")}
    settings = ["max_steps=200", "batch_size=4", "lora.r=4", "checkpoint.steps=2"]
    job = from_sources(None, [*settings, "max_length=64", "plan.processes=2"], places)
    (tmp_path / "job.json").write_text(job.to_json())
    return job


def torchrun(folder, *arguments, log):
    command = [sys.executable, "-m", "torch.distributed.run", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with (folder / log).open("wb") as out:
        # In a session of its own, so that what is left of it can be counted.
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )


def left_running(session):
    """Return the processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, theirs = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        found += [stat.parent.name] * (int(theirs) == session and state not in "ZX")
    return found


def test_one_killed_under_torchrun_is_named_and_its_checkpoint_is_left(job, tmp_path):
    two = ["--standalone", "--nproc-per-node", "2", "driver.py", "SIGKILL", "job.json"]
    run = torchrun(tmp_path, *two, log="two.log")
    assert run.wait(240) == 1
    said = (tmp_path / "two.log").read_text()
    assert said.count("error: process 2 of 2 ended without an error message\n") == 1, said[-3000:]
    assert "internal error" not in said
    assert "gloo" not in said
    assert f"exitcode  : {LOST}" in said or "Signal 9 (SIGKILL)" in said
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    (failed,) = [e for e in found if isinstance(e, events.Failed)]
    assert failed.exit_code == LOST
    assert "--resume" in failed.hint
    assert not left_running(run.pid)
    assert checkpoints.whole(tmp_path / "run")[-1][1].step == 2


@pytest.mark.parametrize(
    ("missing", "cause"),
    [
        # It has met the other, and tells it.
        ("rows.jsonl", "process 1 of 2 (machine 1, {host}) ended: "),
        # It ends before.
        ("job.json", "process 1 of 2 (machine 1) at 127.0.0.1:"),
    ],
)
def test_the_second_machine_says_that_the_first_is_lost(job, tmp_path, missing, cause):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        for name in ("driver.py", "job.json", "rows.jsonl"):
            (folder / name).write_text((tmp_path / name).read_text())
        here = job.model_copy(update={"data": "rows.jsonl", "output": "run"})
        (folder / "job.json").write_text(here.to_json())
    (first / missing).unlink()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    begun = time.monotonic()
    runs = [
        torchrun(
            folder,
            *("--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(number)),
            *("--master-addr", "127.0.0.1", "--master-port", port),
            *("driver.py", "", "job.json"),
            log="log",
        )
        for number, folder in enumerate((first, second))
    ]
    assert [run.wait(120) for run in runs] == [1, 1]
    seconds = time.monotonic() - begun
    said = (second / "log").read_text()
    assert said.count("error: " + cause.format(host=socket.gethostname())) == 1, said[-3000:]
    assert f"exitcode  : {LOST}" in said
    assert "internal error" not in said
    assert missing in (first / "log").read_text()
    assert seconds < 60
    assert not any(left_running(run.pid) for run in runs)
    if missing == "job.json":
        assert "waiting for process 1 of 2 (machine 1) at 127.0.0.1:" in said
        assert "did not come within 10 s" in said


def test_one_that_is_stopped_ends_all(job, tmp_path, monkeypatch):
    command = (sys.executable, "-P", str(tmp_path / "driver.py"), "SIGSTOP")
    monkeypatch.setattr(local, "COMMAND", command)
    plain, pids = local._start, []

    def start(*arguments):
        rank = plain(*arguments)
        pids.append(rank._process.pid)
        return rank

    monkeypatch.setattr(local, "_start", start)
    output = tmp_path / "run"
    output.mkdir()
    log = output / "train.log"
    with (
        events.Writer(output / "events.jsonl") as writer,
        StopRequest() as stop,
        pytest.raises(ProcessLost, match=r"2 of 2 has not answered for 15 s: .*--resume"),
    ):
        local.train(tmp_path / "job.json", log, 2, writer, stop, resume=False)
    steps = [e for e in events.read(output / "events.jsonl")[0] if isinstance(e, events.Step)]
    assert steps
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
