"""What outlives a container: when the pod was first booted, how often, and which instants hold now."""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.contract.pod import PodSettings
from trainer.pod.release import MARK

NAME = "state.json"
ALIVE = "alive"
HEARTBEAT = 30.0
# A container that is restarted is back within this; after more, somebody has started a stopped pod.
ABSENCE = 300.0


class State(BaseModel):
    """Instants in unix seconds. ``starts`` counts the trainer's since its last checkpoint,
    ``evaluations`` the evaluation's, ``choices`` those of the checkpoint to keep.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pod: str
    first_boot: float
    hard_by: float
    boots: int = 1
    ready_by: float | None = None
    deaths: int = 0
    starts: int = 0
    evaluations: int = 0
    choices: int = 0
    loaded: bool = False
    over: str | None = None

    def but(self, **changes: object) -> Self:
        return self.model_copy(update=changes)

    def write(self, folder: Path) -> None:
        """Write atomically. Raises ``OSError``."""
        new = folder / f".{NAME}.new"
        with new.open("w", encoding="utf-8") as file:
            file.write(self.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / NAME)


def load(folder: Path) -> State | None:
    """Return the state that an earlier boot left, if any can be read."""
    try:
        return State.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def started_again(folder: Path, now: float) -> bool:
    """Say whether the pod was stopped and somebody started it, rather than its container restarted."""
    if (folder / MARK).exists():
        return True
    try:
        return now - (folder / ALIVE).stat().st_mtime > ABSENCE
    except OSError:
        return False


def boot(
    before: State | None, settings: PodSettings, *, pod: str, again: bool, now: float
) -> State:
    """Return the state of this boot.

    A restarted container has the instants of the first. A pod that somebody started ``again`` may be
    used for a grace, past the deadline too, once its training is over. Another pod on the same volume begins anew, numbers aside.
    """
    if before is None:
        return State(pod=pod, first_boot=now, hard_by=settings.gone_by)
    state = before.but(boots=before.boots + 1)
    if before.pod != pod:
        return State(
            pod=pod,
            first_boot=now,
            hard_by=settings.gone_by,
            boots=state.boots,
            loaded=before.loaded,
        )
    if not again:
        return state
    if state.over is None and now < settings.finish_by:
        return state.but(ready_by=None, starts=0)
    # Time to make a result of what there is, and to fetch it.
    most = now + settings.limits.load + settings.grace_seconds
    return state.but(hard_by=max(settings.gone_by, most), ready_by=None)
