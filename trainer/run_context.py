"""What every step of one training needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import checkpoints
from trainer.contract import manifest
from trainer.contract.job import Job
from trainer.processes import fsdp
from trainer.reporting import Reporter
from trainer.signals import StopRequest

if TYPE_CHECKING:
    from trainer.data.prepare import Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The context of a training.

    ``checkpoint`` and its ``record``: what the run resumes from, if anything. ``here``: the record for new
    checkpoints.
    """

    job: Job
    output: Path
    prepared: "Prepared"
    reporter: Reporter
    stop: StopRequest
    checkpoint: Path | None
    record: checkpoints.Record | None
    here: checkpoints.Record

    @property
    def new_adapter(self) -> Path:
        """The folder of the saved adapter until it is proved."""
        return self.output / f".{manifest.ADAPTER}.new"

    @property
    def sharded(self) -> bool:
        return fsdp.wanted(self.job)
