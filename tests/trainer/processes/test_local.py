"""Several processes train what one does. Each spawn imports torch twice: few, with many assertions."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer import checkpoints
from trainer.contract import events, manifest
from trainer.contract.command.errors import BadJob, Fault, Interrupted, ProcessLost, TrainingFailed
from trainer.contract.job import from_sources
from trainer.processes import local
from trainer.signals import StopRequest

SETTINGS = ["max_steps=10", "batch_size=5", "lr=0.005", "lora.r=4", "warmup=0", "max_length=256"]
ROWS = 18  # the last step of an epoch has three rows
FIRST, LAST = 'submit(df["price"].mean())', "print(df.head())\n" * 6


def rows_of(count):
    for number in range(count):
        answer = FIRST + LAST * (number % 5 == 0)
        question = "what is the mean?" + " please" * (number % 4)
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield json.dumps({"messages": turns}) + "\n"


@pytest.fixture(scope="module")
def job_in(base_model, tmp_path_factory):
    """Return a job with evaluations and packing, for an output folder and more settings."""
    data = tmp_path_factory.mktemp("data") / "rows.jsonl"
    data.write_text("".join(rows_of(ROWS)))
    held = data.with_name("held.jsonl")
    held.write_text("".join(rows_of(3)))

    def job(output, *settings):
        places = {"model": str(base_model), "data": str(data), "output": str(output)}
        more = [f"eval_data={held}", "early_stop=null", "plan.tokens=150", *settings]
        return from_sources(None, [*SETTINGS, *more], places)

    return job


def run(job, *, resume=False):
    from trainer.start_training import train

    train(job, resume=resume, overwrite=False, say=lambda _: None)


def told(output, kind):
    return [e for e in events.read(Path(output) / "events.jsonl")[0] if isinstance(e, kind)]


def losses(output):
    return [e.loss for kind in (events.Step, events.Eval) for e in told(output, kind)]


def weights(output):
    from safetensors.torch import load_file

    return load_file(Path(output) / "adapter" / "adapter_model.safetensors")


def apart(left, right):
    left, right = weights(left), weights(right)
    return max(float((left[name] - right[name]).abs().max()) for name in left)


# Under torchrun: what accelerate makes of it, a full card in the second process alone, and a SIGTERM there.
DRIVER = """
import os, signal, sys
from pathlib import Path
import torch
from trl import SFTTrainer
from trainer.__main__ import _main
from trainer.loop.callbacks import RunCallback
from trainer.contract.command.errors import run_main
from trainer.loop.loop import Loop

plain_loss, plain_run, plain_end = SFTTrainer.compute_loss, Loop._run, RunCallback.on_step_end
second = os.environ["RANK"] == "1"

def compute_loss(loop, model, inputs, *args, **kwargs):
    if second and model.training and int((inputs["position_ids"] == 0).sum()) > 1:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return plain_loss(loop, model, inputs, *args, **kwargs)

def _run(loop, checkpoint):
    found = loop.accelerator.num_processes, str(loop.accelerator.distributed_type)
    (Path(sys.argv[1]) / f"found{os.environ['RANK']}").write_text(str(found))
    plain_run(loop, checkpoint)

def on_step_end(callback, args, state, control, **kwargs):
    if second and state.global_step == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    plain_end(callback, args, state, control, **kwargs)

SFTTrainer.compute_loss, Loop._run, RunCallback.on_step_end = compute_loss, _run, on_step_end
sys.exit(run_main(_main, sys.argv[2:]))
"""


def test_two_processes_under_torchrun_train_what_one_does(job_in, tmp_path):
    one = job_in(tmp_path / "one")
    run(one)
    job = job_in(tmp_path / "two")
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "job.json").write_text(job.to_json())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "driver.py", str(tmp_path), "job.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "interrupted" in done.stderr, done.stderr[-3000:]
    for number in (0, 1):
        found = (tmp_path / f"found{number}").read_text()
        assert found == "(2, 'DistributedType.MULTI_CPU')"
    # Both saved at the step at which one of them was asked to, and one of them wrote about it.
    assert [e.step for e in told(job.output, events.Step)] == [1, 2, 3, 4]
    (plan,) = told(job.output, events.Plan)
    assert plan.processes == 2
    (path, mark) = checkpoints.whole(Path(job.output))[-1]
    assert (mark.step, mark.processes) == (4, 2)
    assert {p.name for p in path.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    warned = [e.message for e in told(job.output, events.Warning)]
    assert [m for m in warned if "out of memory at step 1 (" in m]
    assert [e.seq for e in events.read(Path(job.output) / "events.jsonl")[0]] == list(
        range(len(events.read(Path(job.output) / "events.jsonl")[0]))
    )
    # One process goes on where two were: same order of rows, same effective batch.
    run(job, resume=True)
    assert any("2 processes" in e.message for e in told(job.output, events.Warning))
    assert losses(job.output) == pytest.approx(losses(one.output), abs=1e-5)
    assert apart(job.output, one.output) < 5e-4
    mine, theirs = (told(o, events.Step)[-1] for o in (job.output, one.output))
    assert (mine.tokens, mine.trained_tokens) == (theirs.tokens, theirs.trained_tokens)


def test_two_processes_are_stopped_at_one_step_and_resumed_to_the_end(
    job_in, tmp_path, monkeypatch
):
    """With dropout, packing and evaluations; started by the trainer itself, asked to stop by SIGTERM."""
    settings = ["plan.processes=2", "lora.dropout=0.2", "checkpoint.steps=3"]
    whole = job_in(tmp_path / "whole", *settings)
    run(whole)
    manifest.verify(tmp_path / "whole")
    job = job_in(tmp_path / "run", *settings)
    plain = events.Writer.emit

    def emit(writer, event):
        if isinstance(event, events.Step) and event.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(writer, event)

    with monkeypatch.context() as patch:
        patch.setattr(events.Writer, "emit", emit)
        with pytest.raises(Interrupted):
            run(job)
    (failed,) = told(job.output, events.Failed)
    assert failed.exit_code == 130
    saved = told(job.output, events.Checkpoint)[-1]
    assert saved.step == told(job.output, events.Step)[-1].step < 10
    run(job, resume=True)
    assert not told(job.output, events.Warning)
    manifest.verify(tmp_path / "run")
    assert losses(job.output) == losses(whole.output)
    assert len(told(job.output, events.Step)) == 10
    assert apart(job.output, whole.output) == 0.0


def lead(tmp_path, monkeypatch, program, count=3, stop=None):
    """Follow processes that run ``program``; return the events that were written."""
    monkeypatch.setattr(local, "COMMAND", (sys.executable, "-c", program))
    path = tmp_path / "events.jsonl"
    with events.Writer(path) as writer, stop or StopRequest() as asked:
        log = tmp_path / "train.log"
        local.train(tmp_path / "job.json", log, count, writer, asked, resume=False)
    return events.read(path)[0]


HEAD = """
import json, os, sys, time
rank, fd = int(os.environ["RANK"]), int(os.environ["SFT_EVENTS_FD"])
def tell(**event): os.write(fd, json.dumps({"v": 1, **event}).encode() + b"\\n")
"""


def test_only_the_first_is_heard_and_its_end_is_the_end(tmp_path, monkeypatch):
    program = HEAD + (
        "tell(type='phase', name='data', detail=f'{rank} {os.environ[\"WORLD_SIZE\"]}')\n"
        "tell(type='phase', name='save')\n"
        "rank == 2 and time.sleep(600)\n"
        "time.sleep(2 if rank == 0 else 1)\n"
        "sys.exit(rank)"
    )
    found = lead(tmp_path, monkeypatch, program)
    assert [e.detail for e in found if isinstance(e, events.Phase)] == ["0 3", ""]


def test_any_of_them_may_say_why_all_end(tmp_path, monkeypatch):
    program = HEAD + (
        "rank == 1 and tell(type='failed', cause='the card broke', hint='mend it', exit_code=9)\n"
        "time.sleep(600)"
    )
    with pytest.raises(TrainingFailed, match="the card broke: mend it"):
        lead(tmp_path, monkeypatch, program)


@pytest.mark.parametrize(
    ("end", "how"),
    [("os.kill(os.getpid(), 9)", "by SIGKILL"), ("os._exit(3)", "with exit code 3")],
)
def test_one_that_ends_without_a_word_ends_all(tmp_path, monkeypatch, end, how):
    program = HEAD + f"rank == 2 and {end}\ntime.sleep(600)"
    with pytest.raises(ProcessLost, match=f"process 3 of 3 ended {how}"):
        lead(tmp_path, monkeypatch, program)


class Scripted:
    """A process as it is seen at each look: its exit code, and what it has told since the last."""

    pipe = None

    def __init__(self, *looks):
        self.looks = [*looks]

    def poll(self):
        return self.looks[0][0]

    def lines(self):
        code, *told = self.looks.pop(0)
        self.looks = self.looks or [(code,)]
        return [json.dumps({"v": 1, **event}).encode() for event in told]


def seen(tmp_path, monkeypatch, *processes, closing=local.CLOSING):
    monkeypatch.setattr(local, "POLL", 0)
    with events.Writer(tmp_path / "events.jsonl") as writer, StopRequest() as stop:
        local._follow(processes, writer, stop, closing)
    return events.read(tmp_path / "events.jsonl")[0]


LEFT = {"type": "failed", "cause": "internal error: connection lost", "hint": "", "exit_code": 1}
LOSS = {
    "type": "failed",
    "cause": "process 1 of 2 ended: an internal error",
    "hint": "",
    "exit_code": 19,
}
BROKE = {"type": "failed", "cause": "the card broke", "hint": "", "exit_code": 9}


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ([(None,), (-9,)], "process 2 of 2 ended by SIGKILL"),
        ([(None,), (9, BROKE)], "the card broke"),
        ([(None, BROKE), (9,)], "the card broke"),
        ([(None,), (19, LOSS)], "process 1 of 2 ended: an internal error"),
    ],
)
def test_it_is_said_who_was_the_first_and_not_who_was_left_alone(
    tmp_path, monkeypatch, second, why
):
    with pytest.raises((ProcessLost, TrainingFailed), match=why):
        seen(tmp_path, monkeypatch, Scripted((None, LEFT), (1,)), Scripted(*second))


def test_an_internal_error_is_said_where_nothing_else_is(tmp_path, monkeypatch):
    with pytest.raises(Fault, match="internal error: connection lost"):
        seen(tmp_path, monkeypatch, Scripted((None, LEFT), (1,)), Scripted((None,)))


def test_all_are_needed_to_the_end_where_each_has_a_part(tmp_path, monkeypatch):
    def processes():
        proof = {"type": "phase", "name": "proof"}
        return Scripted((None, proof), (None,), (None,), (0,)), Scripted((None,), (-9,))

    found = seen(tmp_path, monkeypatch, *processes())
    assert [e.name for e in found] == ["proof"]
    with pytest.raises(ProcessLost, match="process 2 of 2 ended by SIGKILL"):
        seen(tmp_path, monkeypatch, *processes(), closing=frozenset())


def test_asked_to_stop_it_asks_them_once_there_is_something_to_save(tmp_path, monkeypatch):
    class Asked(StopRequest):
        """Asked to stop once the events hold ``word``."""

        word = b"train"

        @property
        def asked(self):
            return self.word in (tmp_path / "events.jsonl").read_bytes()

        @asked.setter
        def asked(self, value):
            """Nothing else asks."""

    stops = HEAD + (
        "tell(type='phase', name='train')\n"
        "sys.stdin.readline() == 'stop\\n' or sys.exit(7)\n"
        "tell(type='failed', cause='interrupted', hint='', exit_code=130)\n"
        "time.sleep(600)"
    )
    with pytest.raises(Interrupted):
        lead(tmp_path, monkeypatch, stops, stop=Asked())
    loads = HEAD + "tell(type='phase', name='model')\ntime.sleep(600)"
    Asked.word = b"model"
    with pytest.raises(KeyboardInterrupt):
        lead(tmp_path, monkeypatch, loads, stop=Asked())


def test_they_end_when_their_parent_is_killed(tmp_path):
    child = (
        "import os, time; from trainer.signals import ParentStopRequest; "
        "ParentStopRequest().__enter__(); print(os.getpid(), flush=True); time.sleep(600)"
    )
    parent = (
        "import subprocess, sys, time; "
        f"subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE); "
        "time.sleep(600)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", parent], env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    # The pipe's last writer is gone when the child is.
    assert process.stdout.read() == ""
    process.stdout.close()
    assert not alive(pid)


def test_one_that_waits_to_be_asked_ends_well():
    program = "from trainer.signals import ParentStopRequest; ParentStopRequest().__enter__()"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdin=subprocess.PIPE) as child:
        assert child.wait(60) == 0


def alive(pid):
    for _ in range(50):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or re.search(r"\) [ZX]", stat.read_text()):
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("settings", "cards", "count"),
    [
        ([], 0, 1),
        ([], 1, 1),
        ([], 4, 4),
        (["batch_size=3"], 4, 3),
        (["batch_size=1"], 4, 1),
        (["plan.processes=2"], 4, 2),
        (["plan.processes=2"], 0, 2),
        (["plan.processes=1"], 4, 1),
    ],
)
def test_one_process_a_card_and_never_more_than_rows(monkeypatch, settings, cards, count):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    assert local.wanted(from_sources(None, ["batch_size=8", *settings])) == count
    monkeypatch.setenv("RANK", "0")
    assert local.wanted(from_sources(None, ["batch_size=8", *settings])) == 1


def test_more_processes_than_cards_are_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(BadJob, match=r"plan.processes = 3, and this machine has 2 cards"):
        local.wanted(from_sources(None, ["plan.processes=3"]))
