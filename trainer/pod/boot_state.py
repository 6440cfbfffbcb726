"""What the disk keeps between two boots of a pod: the first boot's time, counts, and the deadlines."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.pod import PodSettings
from trainer.pod.release import MARK

NAME = "state.json"
ALIVE = "alive"
HEARTBEAT = 30.0
# A container that restarts is back within this time; after a longer one, a user has started a stopped pod.
ABSENCE = 300.0


class State(BaseModel):
    """Times in unix seconds.

    ``hard_by``: the deadline to stop or delete. ``starts``: starts of the trainer since its last checkpoint;
    ``evaluations`` and ``choices``: starts of the evaluation, and of the choice of a checkpoint.
    ``over``: how the training ended.
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

    def write(self, folder: Path) -> None:
        """Write atomically. Raises ``OSError``."""
        write_whole(folder / NAME, self.model_dump_json() + "\n")


def load(folder: Path) -> State | None:
    """Return the state that an earlier boot wrote; None if it is missing or invalid."""
    try:
        return State.model_validate_json((folder / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def started_again(folder: Path, now: float) -> bool:
    """Say whether a user started a stopped pod, as opposed to a container that restarted."""
    if (folder / MARK).exists():
        return True
    try:
        return now - (folder / ALIVE).stat().st_mtime > ABSENCE
    except OSError:
        return False


def next_state(
    before: State | None, settings: PodSettings, *, pod: str, again: bool, now: float
) -> State:
    """Return the state of this boot.

    A restarted container keeps the deadlines. A pod that a user started ``again`` after its training waits
    one more grace, also after its deadline. Another pod on the same volume starts over, counts aside.
    """
    if before is None:
        return State(pod=pod, first_boot=now, hard_by=settings.gone_by)
    boots = before.boots + 1
    if before.pod != pod:
        new = State(pod=pod, first_boot=now, hard_by=settings.gone_by)
        return new.model_copy(update={"boots": boots, "loaded": before.loaded})
    changes: dict[str, object] = {}
    if again and before.over is None and now < settings.finish_by:
        changes = {"ready_by": None, "starts": 0}
    elif again:
        # Time to make a result from the checkpoint, and to download it.
        most = now + settings.limits.load + settings.grace_seconds
        changes = {"ready_by": None, "hard_by": max(settings.gone_by, most)}
    return before.model_copy(update={"boots": boots, **changes})
