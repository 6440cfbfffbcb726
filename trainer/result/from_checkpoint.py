"""Makes a result from the newest checkpoint of a run that cannot continue; needs neither data nor base."""

import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer import checkpoints
from trainer.contract import events, manifest
from trainer.contract.command import libraries
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import NotFound, ResultRejected, is_no_space
from trainer.contract.job import Job
from trainer.processes.pipe import Emitter, open_events
from trainer.reporting import Reporter

# Files of a checkpoint besides the adapter and its tokenizer.
TO_RESUME = ("optimizer.pt", "scheduler.pt", "scaler.pt", "trainer_state.json", "training_args.bin")


def save_newest(job: Job, *, say: Callable[[str], None]) -> None:
    """Make ``adapter/``, ``loss.png`` and a manifest with ``complete: false`` in the job's output.

    A complete result stays unchanged. Raises ``NotFound`` without a checkpoint, ``ResultRejected`` if
    none has an adapter of finite numbers.
    """
    output = Path(job.output)
    found = checkpoints.whole(output)
    if not found:
        raise NotFound(f"{output} has no checkpoint", "nothing of this run can be saved")
    if checkpoints.complete(output):
        say(f"{output} is complete; nothing is left to save")
        return
    libraries.prepare_environment()
    # A checkpoint that was not finished because the disk was full still takes space.
    checkpoints.rotate(output, len(found))
    with open_events(output / "events.jsonl") as writer:
        try:
            _save(job, output, found, writer, say)
        except OSError as error:
            if not is_no_space(error):
                raise
            checkpoints.rotate(output, 1)
            _save(job, output, found[-1:], writer, say)


def _save(
    job: Job,
    output: Path,
    found: list[tuple[Path, checkpoints.Record]],
    writer: Emitter,
    say: Callable[[str], None],
) -> None:
    reporter = Reporter(writer, say, output / "train.log")
    new = output / f".{manifest.ADAPTER}.new"
    faults = []
    for folder, record in reversed(found):
        shutil.rmtree(new, ignore_errors=True)
        copy_adapter(folder, new)
        try:
            check(new)
        except ResultRejected as fault:
            faults.append(f"{folder.name}: {fault}")
            reporter.warn(faults[-1])
            continue
        _publish(job, output, folder, record, new, reporter)
        reporter.emit(events.Saved(path=manifest.ADAPTER))
        reporter.emit(events.Done(manifest=manifest.NAME))
        reporter.line(f"saved the adapter of step {record.step}: {output / manifest.ADAPTER}")
        return
    raise ResultRejected("no checkpoint can be used", "train again", faults=faults)


def copy_adapter(folder: Path, new: Path) -> None:
    """Make the folder ``new`` with a checkpoint's files, except those that only a resume needs."""
    new.mkdir()
    for path in sorted(folder.iterdir()):
        kept = path.name in {*TO_RESUME, checkpoints.RECORD} or path.name.startswith("rng_state")
        if not path.is_file() or kept:
            continue
        # A link takes no space, and the disk may be full.
        with suppress(OSError):
            os.link(path, new / path.name)
        if not (new / path.name).exists():
            shutil.copyfile(path, new / path.name)


def check(new: Path) -> None:
    """Raise ``ResultRejected`` for an adapter that is incomplete or has values that are not finite."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    faults = manifest.check_adapter(new)
    if not faults:
        try:
            weights = load_file(new / "adapter_model.safetensors")
        except SafetensorError as error:
            raise ResultRejected(str(error)) from None
        bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        faults = [f"{name} has values that are not finite" for name in bad[:1]]
    if faults:
        raise ResultRejected("; ".join(faults))


def _publish(
    job: Job,
    output: Path,
    folder: Path,
    record: checkpoints.Record,
    new: Path,
    reporter: Reporter,
) -> None:
    from trainer.pretrained import Source
    from trainer.result import learned, publish

    state = json.loads((folder / "trainer_state.json").read_bytes())
    history = [finite(entry) for entry in state["log_history"]]
    config = json.loads((new / "adapter_config.json").read_bytes())
    if not (output / "job.json").exists():
        write_whole(output / "job.json", job.to_json())
    publish.publish(
        publish.Result(
            job=job,
            output=output,
            adapter=new,
            history=history,
            metrics={
                **publish.losses_of(history),
                "steps": record.step,
                "steps_planned": state["max_steps"],
                "epochs": round(state["epoch"] or 0.0, 4),
                "tokens": record.tokens,
                "trained_tokens": record.trained_tokens,
                **learned.report(reporter, state["log_history"], record.step, None),
            },
            source=Source(job.model, config["base_model_name_or_path"], config.get("revision")),
            record=record,
            proof=None,
        )
    )


def finite(entry: dict[str, Any]) -> dict[str, float]:
    """Return the finite numbers in an entry of the trainer's history."""
    return {
        name: value
        for name, value in entry.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
