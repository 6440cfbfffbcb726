"""A divided base, and processes that die: each start imports torch twice, so one run has many assertions."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from trainer import checkpoints, pretrained
from trainer.contract import events, manifest
from trainer.contract.command.errors import ProcessLost, TrainingFailed
from trainer.contract.job import from_sources
from trainer.processes import local

# The last of an epoch's four steps has one row: one of two processes has none.
ROWS, BATCH, STEPS = 16, 5, 8
SETTINGS = [f"max_steps={STEPS}", f"batch_size={BATCH}", "lr=0.005", "lora.r=4", "warmup=0"]
TWO = "plan.processes=2"


def rows_of(count):
    for number in range(count):
        question = "what is the mean?" + " please" * (number % 4)
        answer = 'submit(df["price"].mean())' + "print(df.head())\n" * 6 * (number % 5 == 0)
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield json.dumps({"messages": turns}) + "\n"


@pytest.fixture
def job_in(base_model, tmp_path):
    """Return a job with evaluations, samples and packing, for an output folder and more settings."""
    data, held = tmp_path / "rows.jsonl", tmp_path / "held.jsonl"
    data.write_text("".join(rows_of(ROWS)))
    held.write_text("".join(rows_of(3)))

    def job(name, *settings):
        places = {"model": str(base_model), "data": str(data), "output": str(tmp_path / name)}
        more = [f"eval_data={held}", "early_stop=null", "max_length=256", "plan.tokens=150"]
        return from_sources(None, [*SETTINGS, *more, *settings], places)

    return job


def run(job, *, resume=False):
    from trainer.start_training import train

    train(job, resume=resume, overwrite=False, say=lambda _: None)


def told(output, kind):
    return [e for e in events.read(Path(output) / "events.jsonl")[0] if isinstance(e, kind)]


def losses(output):
    """Return the losses of steps and evaluations; of a step that was taken again, the second."""
    both = [(kind, e) for kind in (events.Step, events.Eval) for e in told(output, kind)]
    return {(kind.__name__, e.step): e.loss for kind, e in both}


def apart(left, right):
    from safetensors.torch import load_file

    name = "adapter/adapter_model.safetensors"
    left, right = load_file(Path(left) / name), load_file(Path(right) / name)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


# What a process makes of the model, and how many passes it ran that count for nothing.
DRIVER = """
import json, os, sys
from pathlib import Path
from torch.distributed.tensor import DTensor
from trainer.processes import fsdp
from trainer.__main__ import _main
from trainer.contract.command.errors import run_main
from trainer.loop.loop import Loop

plain_wrap, plain_run, plain_padding = fsdp.wrap, Loop._run, Loop._padding_batches
found = {"spare": 0}

def wrap(model):
    plain_wrap(model)
    weights = list(model.parameters())
    base = [w for w in weights if isinstance(w, DTensor)]
    found.update(
        whole=sum(w.numel() for w in base),
        here=sum(w.to_local().numel() for w in base),
        adapter=sum(w.numel() for w in weights if not isinstance(w, DTensor)),
    )

def _padding_batches(loop, rows):
    for joined in plain_padding(loop, rows):
        found["spare"] += loop.model.training
        yield joined

def _run(loop, checkpoint):
    plain_run(loop, checkpoint)
    found.update(
        processes=loop.accelerator.num_processes, wrapped=type(loop.model_wrapped).__name__
    )
    Path(sys.argv[1], f"found{os.environ['RANK']}").write_text(json.dumps(found))

fsdp.wrap, Loop._padding_batches, Loop._run = wrap, _padding_batches, _run
sys.exit(run_main(_main, sys.argv[2:]))
"""


def kill_second_at(monkeypatch, step):
    """Let the second process be killed once the first has told of ``step``."""
    plain_start, plain_emit, pids = local._start, events.Writer.emit, {}

    def start(command, number, *args):
        pids[number] = (rank := plain_start(command, number, *args))._process.pid
        return rank

    def emit(writer, event):
        if isinstance(event, events.Step) and event.step == step:
            os.kill(pids[1], signal.SIGKILL)
        return plain_emit(writer, event)

    monkeypatch.setattr(local, "_start", start)
    monkeypatch.setattr(events.Writer, "emit", emit)


@pytest.mark.timeout(1200)  # four processes that import torch, and a machine may be busy
def test_killed_whole_then_divided_then_alone_it_is_the_same_training(
    job_in, tmp_path, monkeypatch
):
    one = job_in("one")
    run(one)
    job = job_in("two", TWO, "checkpoint.steps=3")
    with monkeypatch.context() as patch:
        kill_second_at(patch, 4)
        with pytest.raises(
            ProcessLost, match="process 2 of 2 ended by SIGKILL without an error message"
        ):
            run(job)
    (failed,) = told(job.output, events.Failed)
    assert "SIGKILL" in failed.cause
    (path, mark) = checkpoints.whole(Path(job.output))[-1]
    assert (mark.step, checkpoints.damaged(path, mark)) == (3, None)
    # What was left of it goes on with a divided base: where the weights are is no part of the job.
    divided = job_in("two", TWO, "checkpoint.steps=3", "plan.shard=true")
    (tmp_path / "driver.py").write_text(DRIVER)
    with monkeypatch.context() as patch:
        command = (sys.executable, "-P", str(tmp_path / "driver.py"), str(tmp_path))
        patch.setattr(local, "COMMAND", command)
        run(divided, resume=True)
    parameters = pretrained.count_parameters(pretrained.find(one))
    first, second = (json.loads((tmp_path / f"found{n}").read_text()) for n in (0, 1))
    for found in (first, second):
        assert (found["processes"], found["wrapped"]) == (2, "FSDPPeftModelForCausalLM")
        # Of the base's weights each has a half, and of the adapter all.
        assert (found["whole"], found["adapter"]) == (parameters, 8192)
        assert found["here"] < 0.6 * parameters
    assert first["here"] + second["here"] == parameters
    assert first["spare"] + second["spare"] > 0
    manifest.verify(Path(divided.output))
    assert losses(divided.output) == pytest.approx(losses(one.output), abs=1e-5)
    assert apart(divided.output, one.output) < 5e-4
    # The base was measured before the kill, and once.
    for output in (one.output, divided.output):
        assert [e.step for e in told(output, events.Eval)].count(0) == 1
    (here,), (there,) = (told(output, events.HeldOut) for output in (divided.output, one.output))
    assert [row.line for row in here.rows] == [row.line for row in there.rows] == [1, 2, 3]
    assert (here.base_loss, here.loss) == pytest.approx((there.base_loss, there.loss), abs=1e-5)
    (here,), (there,) = (told(output, events.Divergence) for output in (divided.output, one.output))
    assert dict(here.each) == pytest.approx(dict(there.each), rel=0.02)
    samples = told(divided.output, events.Sample)
    assert [s.line for s in samples if s.label == "base"] == [1, 2, 3]
    assert [s.line for s in samples][-3:] == [1, 2, 3]
    # A checkpoint of it is what one process goes on from.
    alone = job_in("alone")
    shutil.copytree(divided.output, alone.output)
    (Path(alone.output) / manifest.NAME).unlink()
    shutil.rmtree(Path(alone.output) / checkpoints.FOLDER / f"checkpoint-{STEPS}")
    assert checkpoints.whole(Path(alone.output))[-1][1].step < STEPS
    run(alone, resume=True)
    assert apart(alone.output, one.output) < 5e-4


def test_a_divided_base_cannot_take_a_pass_again(job_in, monkeypatch):
    import torch
    from trl import SFTTrainer

    from trainer.loop.loop import Loop
    from trainer.processes import fsdp

    def compute_loss(loop, *_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fsdp, "wanted", lambda _: True)
    monkeypatch.setattr(fsdp, "wrap", lambda _: None)
    monkeypatch.setattr(SFTTrainer, "compute_loss", compute_loss)
    monkeypatch.setattr(Loop, "evaluate", None)
    with pytest.raises(TrainingFailed, match="step 1 with micro-batches of 150 tokens: ") as found:
        run(job_in("full", "plan.shard=true"))
    assert found.value.settings == ("plan.tokens=75",)


def test_one_process_has_the_base_whole(job_in):
    from trainer.processes import fsdp

    assert not fsdp.wanted(job_in("run", "plan.shard=true"))
