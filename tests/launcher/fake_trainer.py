"""Stands where ``python -m trainer`` would: the same events, files and signals, without torch.

    fake_trainer.py BEHAVIOUR job.json [--resume]

``good`` and ``slow`` finish; ``crash``, ``killed``, ``refuse`` fail at step 3; ``full`` does unless
``plan.tokens`` is 64, ``steep`` with a learning rate above 1e-4; ``lie`` writes a manifest
that does not fit; ``deaf`` ignores SIGTERM; ``early`` never gets as far as an event.
"""

import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

from trainer.contract import events
from trainer.contract.events import Writer
from trainer.contract.job import Job
from trainer.contract.manifest import Manifest, ReloadProof, hash_files

STOP: list[int] = []


def save_adapter(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    tensors = {
        f"base.q_proj.lora_{side}.weight": {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [i * 32, i * 32 + 32],
        }
        for i, (side, shape) in enumerate({"A": [2, 4], "B": [4, 2]}.items())
    }
    header = json.dumps(tensors).encode()
    (folder / "adapter_model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + bytes(64)
    )
    (folder / "adapter_config.json").write_text('{"r": 2}')


def save_manifest(folder: Path, job: Job) -> None:
    proof = ReloadProof(equal=True, max_abs_diff=0.0, base_max_abs_diff=1.0, rows=2)
    Manifest(
        complete=True,
        created="2026-11-22T13:04:00Z",
        files=hash_files(folder, ["adapter", "job.json"]),
        job_hash=job.hash(),
        data_sha256="0" * 64,
        base_model=job.model,
        revision=None,
        template_sha256="0" * 64,
        versions={},
        device="cpu",
        precision="fp32",
        seed=job.seed,
        metrics={"loss": 0.5},
        reload_proof=proof,
    ).write(folder / "manifest.json")


def checkpoint(folder: Path, step: int, write: Writer) -> None:
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "step").write_text(str(step))
    write.emit(events.Checkpoint(step=step, path=f"checkpoints/step-{step}"))


def planned(tokens: int) -> events.Plan:
    return events.Plan(
        device="cpu",
        precision="fp32",
        pass_tokens=tokens,
        passes=1.0,
        rows=3,
        tokens=100,
        trained_tokens=40,
        steps=6,
        epochs=1.0,
        trainable_parameters=10,
    )


def one_step(step: int, steps: int) -> events.Step:
    return events.Step(
        step=step,
        steps=steps,
        epoch=step / steps,
        loss=4.0 / step,
        lr=1e-3,
        grad_norm=1.0,
        tokens=step * 100,
        trained_tokens=step * 40,
        tokens_per_second=1000.0,
        trained_tokens_per_second=400.0,
        seconds_left=(steps - step) * 0.1,
        memory_bytes=1 << 30,
    )


def failed(cause: str, setting: str) -> events.Failed:
    return events.Failed(cause=cause, hint="change something", exit_code=9, settings=[setting])


def main(behaviour: str, job_file: str, *flags: str) -> int:
    if behaviour == "early":
        time.sleep(60)
    signal.signal(signal.SIGTERM, lambda *_: STOP.append(1))
    job = Job.from_json(Path(job_file))
    folder = Path(job.output)
    begun = folder / "checkpoints" / "step"
    first = int(begun.read_text()) if "--resume" in flags and begun.exists() else 0
    steps = job.max_steps or (200 if behaviour in {"slow", "deaf"} else 6)
    print(f"training {behaviour}")
    with Writer(folder / "events.jsonl") as write:
        write.emit(events.Phase(name="train", detail=f"from step {first}"))
        write.emit(planned(128))
        for step in range(first + 1, steps + 1):
            write.emit(one_step(step, steps))
            if behaviour in {"slow", "deaf"}:
                time.sleep(0.05)
            if STOP and behaviour != "deaf":
                checkpoint(folder, step, write)
                write.emit(
                    events.Failed(cause="interrupted", hint="resume with --resume", exit_code=130)
                )
                return 130
            if step == 3 and behaviour == "crash":
                print("Traceback (most recent call last):\nRuntimeError: no such luck")
                return 1
            if step == 3 and behaviour == "killed" and job.plan.tokens != 64:
                checkpoint(folder, step, write)
                print("allocating")
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 3 and behaviour == "full" and job.plan.tokens != 64:
                checkpoint(folder, step, write)
                write.emit(failed("out of memory at step 4: no room", "plan.tokens=64"))
                return 9
            if step == 3 and behaviour == "steep" and job.lr > 1e-4:
                write.emit(failed("the loss is nan at step 3", "lr=0.0001"))
                return 9
            if step == 3 and behaviour == "refuse":
                write.emit(events.Failed(cause="the disk is full", hint="free some", exit_code=8))
                return 8
        save_adapter(folder / "adapter")
        write.emit(events.Saved(path="adapter"))
        save_manifest(folder, job)
        if behaviour == "lie":
            (folder / "adapter" / "adapter_config.json").write_text('{"r": 3}')
        write.emit(events.Done(manifest="manifest.json"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
