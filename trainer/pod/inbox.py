"""The job's arrival: what was uploaded is what its names say, or the job is turned down."""

import shutil
import tarfile
from pathlib import Path

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


def pick_up(root: Path) -> Job | None:
    """Take the job from the inbox: ``None`` when there is none yet.

    Every file there must have the content that its name says; one that has not is deleted, so that it
    is uploaded anew. The job accepted is written to ``root / job.json``, with ``run`` as its output, its
    episodes laid out with their tables, and a model that was uploaded at its path at home.
    Raises ``BadJob`` after renaming the job file.
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
    """Put everything where the trainer is to find it, and the job last."""
    places = {
        "output": RUN,
        "evaluate": _lay_out(job.evaluate, root, EPISODES),
        "validation": _lay_out(job.validation, root, VALIDATION),
        "model": _unpack(job, root),
    }
    job = job.model_copy(update=places)
    new = root / f".{JOB}.new"
    new.write_text(job.to_json(), encoding="utf-8")
    new.replace(root / JOB)
    return job


def _faults(job: Job, root: Path) -> list[str]:
    faults = []
    asked = (("evaluate", job.evaluate), ("validation", job.validation))
    named = (("data", job.data), ("eval_data", job.eval_data), *asked)
    for field, name in named:
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
            faults.append(f"model: the pod has a {place} of its own: give the folder another name")
    if not faults:
        faults = [
            f"{field}: table {name} ({sha256[:12]}...) was not uploaded"
            for field, asks in asked
            if asks is not None
            for name, sha256 in tables_of(root / asks).items()
            if not (root / upload_name(sha256)).is_file()
        ]
    return faults


def restore(root: Path) -> None:
    """Let an uploaded model be where the job says, also on the new disk of a container that restarted.

    Raises ``OSError`` where it cannot be there.
    """
    if not (root / MODEL).is_dir():
        return
    place = Path(Job.from_json(root / JOB).model)
    if place.is_absolute() and not place.exists():
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(root / MODEL)


def _unpack(job: Job, root: Path) -> str:
    """The model as the trainer is to name it."""
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
                raise BadJob(f"model: {entry.name} in its archive is no file of a folder", "")
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                shutil.copyfileobj(content, file)
    return path


def _lay_out(episodes: str | None, root: Path, folder: str) -> str | None:
    """Where the episodes lie with their tables, as seen from ``root``."""
    if episodes is None:
        return None
    there = lay_out(root / episodes, root / folder, lambda sha256: root / upload_name(sha256))
    return str(there.relative_to(root))
