"""Check that a resumed run has the data, and the local model folder, that it started with.

Checked before a pod is rented for another attempt, and again before the upload.
"""

import hashlib
from pathlib import Path

from launcher.runs import model_folder
from launcher.runs.run_state import RunState
from trainer.contract.command.errors import ResumeRefused
from trainer.contract.job import Job
from trainer.contract.manifest import hash_file


def model_sha256(job: Job) -> str | None:
    """The SHA-256 of the names and the content of a model folder; None if the model is not a local folder.

    A file too large to be uploaded counts by its size alone: it need not be read to the end each time.
    """
    folder = Path(job.model)
    if not folder.is_absolute():
        return None
    digest = hashlib.sha256()
    for path in model_folder.files(folder):
        size = path.stat().st_size
        content = hash_file(path).sha256 if size <= model_folder.MOST else "large"
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0{content}\n".encode())
    return digest.hexdigest()


def check(state: RunState, job: Job) -> None:
    """Raise ``ResumeRefused`` naming the data or model that differs from the one in the journal."""
    created = state.summary
    for what, path, before, now in (
        ("data", job.data, created.get("data_sha256"), hash_file(Path(job.data)).sha256),
        ("model", job.model, created.get("model_sha256"), model_sha256(job)),
    ):
        if before is not None and now is not None and before != now:
            raise ResumeRefused(
                f"{path} is not the {what} that the run started with "
                f"(SHA-256 {before[:12]}... then, {now[:12]}... now)",
                f"restore the old {what}, or start a new run with the new one",
            )
