"""``keep = best``: what the job must say for it, and what the choice leaves in a run folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.contract import episodes
from trainer.contract.command.errors import BadData, BadJob, NotFound
from trainer.contract.job import Job
from trainer.contract.sizing.evaluations import SPACED

RESULT = "validation.json"
FOLDER = "validation"
"""The answers of each checkpoint; they stay where it was chosen."""
ASKED = SPACED + 1
"""Checkpoints that are asked at most: those spaced over the run, and that of the lowest loss; where it stopped
early, the newest in the place of the last."""


class Score(BaseModel):
    """How one checkpoint fared; ``loss`` is that of the held-out rows, where it was measured there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    loss: float | None
    right: int
    questions: int = Field(ge=1)


class Choice(BaseModel):
    """``validation.json``: every checkpoint that was asked, the oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    chosen: int = Field(description="step of the adapter")
    by_loss: int = Field(description="step of the adapter that the loss would have chosen")
    scores: list[Score]


def read(path: Path) -> Choice | None:
    """The choice in a file; None where there is none that can be read."""
    try:
        return Choice.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def check(job: Job) -> None:
    """Refuse what could not be chosen by: no episodes, no use for them, or those of the evaluation.

    Raises ``BadJob``, ``NotFound``, or ``BadData`` naming both files.
    """
    if job.keep != "best":
        if job.validation is not None:
            raise BadJob(
                f"{job.validation} is given to choose by, and keep is {job.keep}",
                "give --keep best too, or leave --validate out",
            )
        return
    if job.validation is None:
        raise BadJob("keep is best, and there is nothing to choose by", "give --validate FILE")
    path = Path(job.validation)
    episodes.check(path)
    if job.evaluate is None:
        return
    if not Path(job.evaluate).exists():
        raise NotFound(f"{job.evaluate} does not exist", "check the path")
    if both := episodes.shared(path, Path(job.evaluate)):
        raise BadData(
            f"{len(both)} questions of {path} are in {job.evaluate} too, as {both[0]}: what an adapter "
            "is chosen by says nothing about it",
            "split the episodes: each question in one of the two files",
        )
