"""Checkpoints in an output folder, whether the folder holds a result, and what a resume checks.

A checkpoint is whole once it has a ``checkpoint.json``, which is written last and names every file with its
SHA-256. A resume skips a checkpoint that was damaged later, and takes an older one.
"""

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import OutputExists, ResumeRefused
from trainer.contract.episodes import RESULTS
from trainer.contract.job import NOT_HASHED, Job
from trainer.contract.manifest import ADAPTER, NAME, hash_file, load
from trainer.contract.resuming import WHICH
from trainer.contract.validation import FOLDER as ANSWERS
from trainer.contract.validation import RESULT as CHOICE

FOLDER = "checkpoints"
RECORD = "checkpoint.json"
MADE_HERE = (NAME, ADAPTER, f".{ADAPTER}.new", FOLDER, "loss.png", *RESULTS, CHOICE, ANSWERS)


class Record(BaseModel):
    """``checkpoint.json``: what is trained, on what device, and up to which step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: int = 1
    step: int
    job: dict[str, Any]
    job_hash: str
    data_sha256: str
    template_sha256: str
    precision: str
    device: str
    pass_tokens: int
    processes: int = 1
    files: dict[str, str] = Field(default_factory=dict)
    tokens: int
    trained_tokens: int

    def environment(self) -> str:
        """Return device, precision and batches, on which the last bits of the numbers depend."""
        many = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.device} in {self.precision} with micro-batches of {self.pass_tokens} tokens{many}"


def write_record(folder: Path, record: Record) -> None:
    """Write the record that declares the checkpoint in ``folder`` whole."""
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name != RECORD)
    record = record.model_copy(update={"files": {p.name: hash_file(p).sha256 for p in paths}})
    write_whole(folder / RECORD, record.model_dump_json(indent=2) + "\n")


def whole(output: Path) -> list[tuple[Path, Record]]:
    """Return the whole checkpoints of a run folder, oldest first."""
    found = []
    for path in (output / FOLDER).glob(f"checkpoint-*/{RECORD}"):
        try:
            found.append((path.parent, Record.model_validate_json(path.read_bytes())))
        except (ValidationError, OSError):
            continue
    return sorted(found, key=lambda item: item[1].step)


def damaged(folder: Path, record: Record) -> str | None:
    """Return the name of a file that differs from ``record``, if any."""
    for name, sha256 in record.files.items():
        try:
            if hash_file(folder / name).sha256 != sha256:
                return name
        except OSError:
            return name
    return None


def newest(output: Path, warn: Callable[[str], None]) -> tuple[Path, Record] | None:
    """Return the newest undamaged checkpoint; ``warn`` gets a message about each damaged one."""
    for folder, record in reversed(whole(output)):
        if (name := damaged(folder, record)) is None:
            return folder, record
        warn(f"{folder.name} is damaged ({name} is missing or has changed): taking an older one")
    return None


def forget_newer(output: Path, step: int) -> None:
    """Invalidate checkpoints after ``step``: a run that continues from there makes them again."""
    for folder, record in whole(output):
        if record.step > step:
            (folder / RECORD).unlink(missing_ok=True)


def rotate(output: Path, keep: int, *, best: int | None = None, also: Collection[int] = ()) -> None:
    """Delete checkpoints, except the ``keep`` newest whole ones and those of steps ``best`` and ``also``."""
    found = whole(output)
    kept = {path for path, _ in found[-keep:]}
    kept |= {path for path, m in found if m.step == best or m.step in also}
    for path in (output / FOLDER).glob("checkpoint-*"):
        if path not in kept:
            shutil.rmtree(path)


def complete(output: Path) -> bool:
    """Say whether the run folder holds a complete result; one made from a checkpoint is not, and can be resumed.

    Raises ``ResultRejected`` for a manifest that cannot be read.
    """
    return (output / NAME).exists() and load(output / NAME).complete


def prepare(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that the output folder is free, or free it.

    Raises ``OutputExists`` if it holds a result or an unfinished run, without ``resume`` or ``overwrite``.
    ``overwrite`` deletes only the trainer's files there.
    """
    if output.exists() and not output.is_dir():
        raise OutputExists(f"{output} is a file", "name a folder")
    if overwrite:
        for name in MADE_HERE:
            path = output / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    elif resume:
        return
    elif (output / NAME).exists():
        raise OutputExists(
            f"{output} already holds a result", "choose another output, or give --overwrite"
        )
    elif whole(output):
        raise OutputExists(
            f"{output} holds an unfinished run",
            "give --resume to continue it, or --overwrite to restart it",
        )


def check_resume(record: Record, job: Job, data_sha256: str) -> None:
    """Raise ``ResumeRefused``, which names what has changed since the checkpoint was made."""
    same = job
    if job.allow_precision_change:
        same = job.model_copy(update={"precision": record.job.get("precision")})
    if record.job_hash != same.hash():
        before, now = _flat(record.job), _flat(json.loads(job.to_json()))
        changed = [
            f"{name}: {before.get(name)} -> {now.get(name)}"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name) and name.split(".")[0] not in NOT_HASHED
        ]
        raise ResumeRefused(
            "the job has changed since the run was started",
            f"with --resume only these may change: {WHICH}; keep the others, or restart with --overwrite",
            faults=changed,
        )
    if record.data_sha256 != data_sha256:
        raise ResumeRefused(
            f"{job.data} has changed since the run was started",
            "restore the old data, or give --overwrite to restart the run",
        )


def check_same_run(record: Record, job: Job, *, template_sha256: str, precision: str) -> None:
    """Raise ``ResumeRefused`` if the template has changed, or the precision without consent."""
    if record.template_sha256 != template_sha256:
        raise ResumeRefused(
            "the model's chat template has changed since the run was started",
            "restore the model's files, or restart with --overwrite and --set revision=COMMIT",
        )
    if record.precision != precision and not job.allow_precision_change:
        raise ResumeRefused(
            f"the run was started in {record.precision} and would continue in {precision}",
            "resume on a device of the same kind, or allow the change",
            settings=["allow_precision_change=true"],
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
