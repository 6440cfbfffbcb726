"""One run of the rehearsal: how it is started, killed and judged."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from datagen.cli import main as datagen
from tests.trainer.rehearsal.card import Watched
from trainer import __main__ as entry
from trainer.attention import kernels
from trainer.contract import events, manifest
from trainer.contract.job import Job
from trainer.contract.pod import EVENTS_FD
from trainer.reporting import Reporter
from trainer.result import evaluation

ROOT = Path(__file__).parents[3]
WEIGHTS = "adapter/adapter_model.safetensors"
MEASURED = "attention: packed rows differ"


def play(job: Job, *options: str) -> None:
    """Run ``python -m trainer`` in this process."""
    assert entry._main([write(job), *options]) == 0


def evaluate_here(patch: pytest.MonkeyPatch) -> None:
    """Run datagen's evaluations in this process: each other one would import torch again."""

    def run(what: Sequence[str], on_event: Callable[[events.Event], object], **_: object) -> int:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as told, pytest.MonkeyPatch.context() as inside:
            inside.setenv(EVENTS_FD, str(writing))
            code = datagen(["evaluate", *what])
            os.close(writing)
            for event in filter(None, map(events.parse, told)):
                on_event(event)
        return code

    patch.setattr(evaluation, "run_command", run)


def write(job: Job) -> str:
    path = Path(f"{job.output}.json")
    path.write_text(job.to_json())
    return str(path)


def of(job: Job, kind):
    found, _ = events.read(Path(job.output) / "events.jsonl")
    return [event for event in found if isinstance(event, kind)]


def losses(job: Job) -> list[float]:
    return [event.loss for event in of(job, events.Step)]


def check(job: Job, watched: Watched | None, *, drop: float = 0.2) -> manifest.Manifest:
    """What holds at the end of each run that trained: verified, proved, and trained as the plan says."""
    output = Path(job.output)
    found = manifest.verify(output)
    assert found.complete
    assert (found.precision, found.device) == (job.precision, "NVIDIA A10G")
    assert found.reload_proof is not None
    assert found.reload_proof.equal
    # An adapter that was chosen later is not in the loop any more, whose attention was proved.
    assert (found.reload_proof.attention_diff is None) is (job.keep == "best")
    assert found.reload_proof.base_max_abs_diff > 10 * found.reload_proof.max_abs_diff
    log = (output / "train.log").read_text()
    assert log.count(MEASURED) >= 2
    assert log.index(MEASURED) < log.index("step 1/")
    (plan, *_), (probe, *_), (step, *_) = (
        of(job, kind) for kind in (events.Plan, events.TrialStep, events.Step)
    )
    assert plan.seq < probe.seq < step.seq
    assert probe.tokens > 0
    fallen = losses(job)
    assert min(fallen) < fallen[0] - drop
    config = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert config["use_rslora"] is (job.lora.variant == "rslora")
    assert config["use_dora"] is (job.lora.variant == "dora")
    if watched is not None:
        trained_as_planned(job, watched)
    return found


def trained_as_planned(job: Job, watched: Watched) -> None:
    nf4 = job.precision == "nf4"
    assert watched.autocast == {True}
    assert watched.casts == {False}
    assert watched.adapter == {torch.bfloat16 if nf4 else torch.float32}
    assert watched.base == {torch.bfloat16, *([torch.uint8] if nf4 else [])}
    assert kernels.VARLEN in watched.attention
    assert watched.attention <= {kernels.VARLEN, "eager", "sdpa"}
    # There is no optimizer where only the proof was left to do.
    assert watched.rates in ({job.lr, job.lora.plus * job.lr}, set())


class Killed(BaseException):
    """Ends a run where it stands: nothing is saved."""


def killed_here(job: Job, number: int) -> None:
    """Train until step ``number`` is reported."""
    plain = Reporter.step

    def step(reporter: Reporter, event: events.Step) -> None:
        plain(reporter, event)
        if event.step == number:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reporter, "step", step)
        with pytest.raises(Killed):
            play(job)


def killed_process(job: Job, number: int) -> None:
    """Train in a process of its own, and send it SIGKILL once step ``number`` is reported."""
    command = [sys.executable, "-m", "tests.trainer.rehearsal", write(job)]
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 300
    told = Path(job.output) / "events.jsonl"
    while not (told.exists() and number in {event.step for event in of(job, events.Step)}):
        assert child.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
