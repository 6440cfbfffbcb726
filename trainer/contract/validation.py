"""``keep = best``: what it requires of a job, and the file with the choice in a run folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.contract import episodes
from trainer.contract.command.errors import BadData, BadJob, NotFound
from trainer.contract.job import Job
from trainer.contract.sizing.evaluations import SPACED

RESULT = "validation.json"
FOLDER = "validation"
"""Folder with the answers of each checkpoint; it stays on the machine that chose."""
ASKED = SPACED + 1
"""The most checkpoints that answer: those spaced over the run, and that of the lowest loss; if the run stopped
early, the newest instead of the last."""


class Score(BaseModel):
    """The result of one checkpoint; ``loss`` is that of the held-out rows, if it was measured there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    loss: float | None
    right: int
    questions: int = Field(ge=1)


class Choice(BaseModel):
    """``validation.json``: every checkpoint that answered, the oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    chosen: int = Field(description="step of the adapter")
    by_loss: int = Field(description="step of the checkpoint with the lowest loss")
    scores: list[Score]


def read(path: Path) -> Choice | None:
    """Return the choice in a file; None if it is missing or cannot be read."""
    try:
        return Choice.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def check(job: Job) -> None:
    """Refuse episodes that are missing, not used, or those of the evaluation.

    Raises ``BadJob``, ``NotFound``, or ``BadData``, which names both files.
    """
    if job.keep != "best":
        if job.validation is not None:
            raise BadJob(
                f"{job.validation} is given for the choice of a checkpoint, but keep is {job.keep}",
                "give --keep best too, or leave --validate out",
            )
        return
    if job.validation is None:
        raise BadJob(
            "keep is best, but the episodes for the choice are missing", "give --validate FILE"
        )
    path = Path(job.validation)
    episodes.check(path)
    if job.evaluate is None:
        return
    if not Path(job.evaluate).exists():
        raise NotFound(f"{job.evaluate} does not exist", "check the path")
    if both := episodes.shared(path, Path(job.evaluate)):
        raise BadData(
            f"{len(both)} questions of {path} are in {job.evaluate} too, as {both[0]}: the "
            "questions that choose an adapter cannot measure it",
            "split the episodes: each question in one of the two files",
        )
