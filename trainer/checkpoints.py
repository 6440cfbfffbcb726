"""What an output folder holds: nothing, an unfinished run, or a result; and what a resume needs.

A checkpoint counts once its ``checkpoint.json`` is there, which is written last and names every file with
its SHA-256: one that has been damaged since is passed over for an older one.
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
    """What was being trained, and how far it came."""

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
        """Return what the last bits of the numbers depend on."""
        many = f", {self.processes} processes" if self.processes > 1 else ""
        return f"{self.device} in {self.precision} with micro-batches of {self.pass_tokens} tokens{many}"


def write_record(folder: Path, record: Record) -> None:
    """Declare the checkpoint in ``folder`` whole, as it is now."""
    paths = sorted(p for p in folder.iterdir() if p.is_file() and p.name != RECORD)
    record = record.model_copy(update={"files": {p.name: hash_file(p).sha256 for p in paths}})
    write_whole(folder / RECORD, record.model_dump_json(indent=2) + "\n")


def whole(output: Path) -> list[tuple[Path, Record]]:
    """Return the whole checkpoints of a run folder, the oldest first."""
    found = []
    for path in (output / FOLDER).glob(f"checkpoint-*/{RECORD}"):
        try:
            found.append((path.parent, Record.model_validate_json(path.read_bytes())))
        except (ValidationError, OSError):
            continue
    return sorted(found, key=lambda item: item[1].step)


def damaged(folder: Path, record: Record) -> str | None:
    """Return the name of a file that is not what ``record`` says, if any."""
    for name, sha256 in record.files.items():
        try:
            if hash_file(folder / name).sha256 != sha256:
                return name
        except OSError:
            return name
    return None


def newest(output: Path, warn: Callable[[str], None]) -> tuple[Path, Record] | None:
    """Return the newest checkpoint that is as it was written; ``warn`` hears of those that are not."""
    for folder, record in reversed(whole(output)):
        if (name := damaged(folder, record)) is None:
            return folder, record
        warn(f"{folder.name} is damaged ({name} is not what was written): taking an older one")
    return None


def forget_newer(output: Path, step: int) -> None:
    """Make checkpoints after ``step`` torn ones: a run that goes on from there makes them again."""
    for folder, record in whole(output):
        if record.step > step:
            (folder / RECORD).unlink(missing_ok=True)


def rotate(output: Path, keep: int, *, best: int | None = None, also: Collection[int] = ()) -> None:
    """Delete all but the ``keep`` newest whole checkpoints, those of steps ``best`` and ``also``, and torn ones."""
    found = whole(output)
    kept = {path for path, _ in found[-keep:]}
    kept |= {path for path, m in found if m.step == best or m.step in also}
    for path in (output / FOLDER).glob("checkpoint-*"):
        if path not in kept:
            shutil.rmtree(path)


def complete(output: Path) -> bool:
    """Say whether the run folder holds a whole result; a salvaged one is not, and can be resumed.

    Raises ``ResultRejected`` for a manifest that cannot be read.
    """
    return (output / NAME).exists() and load(output / NAME).complete


def prepare(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Make way in the output folder, or refuse.

    Raises ``OutputExists`` when it holds a result, or an unfinished run, and neither is asked for.
    ``overwrite`` deletes what the trainer made there, and nothing else.
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
            "give --resume to go on with it, or --overwrite to begin again",
        )


def check_resume(record: Record, job: Job, data_sha256: str) -> None:
    """Raise ``ResumeRefused`` naming what has changed since the checkpoint was made."""
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
            "the job is not the one that was begun",
            f"with --resume only these may change: {WHICH}; keep the others, or begin again with --overwrite",
            faults=changed,
        )
    if record.data_sha256 != data_sha256:
        raise ResumeRefused(
            f"{job.data} is not the data that was begun with",
            "put the old data back, or give --overwrite to begin again",
        )


def check_same_run(record: Record, job: Job, *, template_sha256: str, precision: str) -> None:
    """Raise ``ResumeRefused`` when the template is another one now, or the precision without leave."""
    if record.template_sha256 != template_sha256:
        raise ResumeRefused(
            "the model's chat template is not the one that the run was begun with",
            "put the model's files back, or begin again with --overwrite and --set revision=COMMIT",
        )
    if record.precision != precision and not job.allow_precision_change:
        raise ResumeRefused(
            f"the run was begun in {record.precision} and would go on in {precision}",
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
