"""Where a run can live. Each machine starts a trainer on a run folder and knows whether it lives."""

from typing import Protocol

from launcher.machines.here import Here
from launcher.runs import Run
from launcher.world import World


class Work(Protocol):
    """A trainer at work."""

    @property
    def pid(self) -> int | None:
        """Its process id, where it is known."""

    def alive(self) -> bool: ...

    def exit_code(self) -> int | None:
        """``None`` while it lives, or when nobody could see it end."""

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""

    def kill(self) -> None:
        """End it now."""


class Machine(Protocol):
    """One place where trainers run."""

    def check(self) -> None:
        """Raise ``NotInstalled`` when a trainer cannot run there."""

    def start(self, run: Run, *, resume: bool) -> Work:
        """Start the trainer on the run folder's job; raise ``Locked`` when one is at work on it."""

    def find(self, run: Run, *, pid: int | None) -> Work | None:
        """Return the trainer that is at work on this run, whoever started it, or ``None``."""


class MachineKind(Protocol):
    def __call__(self, world: World) -> Machine: ...


MACHINES: dict[str, MachineKind] = {"here": Here}
