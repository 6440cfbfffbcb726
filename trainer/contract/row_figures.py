"""The lengths that ``check`` found, kept for a later plan of the same data, model and settings.

A cache: deleting it costs only time.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.job import Job

FOLDER = "sft-launch-tokens"  # in the hub's cache folder
KEYS = ("model", "revision", "max_length", "overlong", "turns")


class Figures(BaseModel):
    """``lengths`` in tokens of the rows that are trained on; ``trained`` tokens of all together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lengths: list[int]
    trained: int


def read(hub: Path, job: Job, sha256: str) -> Figures | None:
    """Return the figures of the data with this hash, if a check has written them."""
    try:
        return Figures.model_validate_json(_place(hub, job, sha256).read_bytes())
    except (OSError, ValidationError):
        return None


def write(hub: Path, job: Job, sha256: str, figures: Figures) -> None:
    """Keep the figures; a folder that cannot be written is ignored."""
    place = _place(hub, job, sha256)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(place, figures.model_dump_json(), fsync=False)


def _place(hub: Path, job: Job, sha256: str) -> Path:
    made_of = [sha256, *(getattr(job, key) for key in KEYS)]
    name = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    return hub / FOLDER / f"{name}.json"
