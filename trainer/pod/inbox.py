"""How the job arrives: checks that each upload has the content that its name promises, or rejects the job."""

import shutil
import tarfile
from pathlib import Path

from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import BadJob, Fault
from trainer.contract.episodes import lay_out, tables_of
from trainer.contract.job import Job
from trainer.contract.manifest import hash_file
from trainer.contract.pod import (
    INBOX,
    JOB,
    JOB_REJECTED,
    RUN,
    upload_name,
    uploaded_model,
    uploaded_sha256,
)

EPISODES = "episodes"
VALIDATION = "validation"
MODEL = "model"


def take_job(root: Path) -> Job | None:
    """Accept the job in the inbox; None if no job is there yet.

    Each upload must have the content that its name promises; one with another content is deleted, so that
    it can be uploaded again. The accepted job is written to ``root / job.json``: its output is ``run``, its
    episodes are laid out with their tables, and an uploaded model is at the path that it had on the user's
    machine. Raises ``BadJob`` after renaming the job file.
    """
    inbox = root / INBOX
    path = inbox / JOB
    if not path.exists():
        return None
    try:
        job = Job.from_json(path)
        faults = _faults(job, root)
        if not faults:
            return _accept(job, root)
    except Fault as fault:
        faults = ["; ".join([str(fault), *fault.faults])]
    except tarfile.TarError as error:
        faults = [f"model: its archive cannot be read: {error}"]
    path.replace(inbox / JOB_REJECTED)
    raise BadJob("; ".join(faults), "upload what is missing, then the job again")


def _accept(job: Job, root: Path) -> Job:
    """Put each file where the trainer looks for it, and write the job last."""
    changes = {
        "output": RUN,
        "evaluate": _lay_out(job.evaluate, root, EPISODES),
        "validation": _lay_out(job.validation, root, VALIDATION),
        "model": _unpack(job, root),
    }
    job = job.model_copy(update=changes)
    write_whole(root / JOB, job.to_json())
    return job


def _faults(job: Job, root: Path) -> list[str]:
    faults = []
    episodes = (("evaluate", job.evaluate), ("validation", job.validation))
    for field, name in (("data", job.data), ("eval_data", job.eval_data), *episodes):
        if name is None:
            continue
        if uploaded_sha256(name) is None:
            faults.append(f"{field} is {name!r}, not the name of an upload")
        elif not (root / name).is_file():
            faults.append(f"{field}: {name} was not uploaded")
    for path in sorted((root / INBOX).iterdir()):
        if uploaded_sha256(upload_name(path.name)) is None or not path.is_file():
            continue
        if (found := hash_file(path).sha256) != path.name:
            path.unlink()
            faults.append(
                f"{path.name[:12]}... has the content of {found[:12]}...: upload it again"
            )
    if (uploaded := uploaded_model(job.model)) is not None:
        sha256, place = uploaded[0], Path(uploaded[1])
        if not (root / upload_name(sha256)).is_file():
            faults.append(f"model: {upload_name(sha256)} was not uploaded")
        elif place.exists() and place.resolve() != (root / MODEL).resolve():
            faults.append(f"model: {place} exists in the pod already: rename the folder")
    return faults or [
        f"{field}: table {name} ({sha256[:12]}...) was not uploaded"
        for field, path in episodes
        if path is not None
        for name, sha256 in tables_of(root / path).items()
        if not (root / upload_name(sha256)).is_file()
    ]


def link_model(root: Path) -> None:
    """Link an uploaded model to the path that the job names, as a restarted container has a new disk.

    Raises ``OSError`` if the link cannot be made.
    """
    if not (root / MODEL).is_dir():
        return
    place = Path(Job.from_json(root / JOB).model)
    if place.is_absolute() and not place.exists():
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(root / MODEL)


def _unpack(job: Job, root: Path) -> str:
    """Unpack an uploaded model; return the model's name for the trainer."""
    uploaded = uploaded_model(job.model)
    if uploaded is None:
        return job.model
    sha256, path = uploaded
    folder = root / MODEL
    shutil.rmtree(folder, ignore_errors=True)
    # Not extractall: its filter came with Python 3.11.4, and a base image may have an older one.
    with tarfile.open(root / upload_name(sha256)) as archive:
        for entry in archive:
            place = folder / entry.name
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is None or ".." in place.parts or not place.is_relative_to(folder):
                raise BadJob(f"model: {entry.name} in its archive is not a file of a folder", "")
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                shutil.copyfileobj(content, file)
    return path


def _lay_out(episodes: str | None, root: Path, folder: str) -> str | None:
    """Lay out episodes with their tables; return their path relative to ``root``."""
    if episodes is None:
        return None
    there = lay_out(root / episodes, root / folder, lambda sha256: root / upload_name(sha256))
    return str(there.relative_to(root))
