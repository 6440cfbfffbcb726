"""Where a run can live. Each machine brings a trainer to work on a run and knows whether it lives."""

from collections.abc import Sequence
from typing import Any, Protocol

from launcher.machines.docker import Docker
from launcher.machines.here import Here
from launcher.machines.runpod import RunPod
from launcher.runs.journal import Entry
from launcher.runs.run_folder import Log, Run
from launcher.scene import Scene
from trainer.contract.job import Job
from trainer.contract.rows import Rows


class Work(Protocol):
    """A trainer at work, or on its way to it; what it does outside is journalled by itself."""

    @property
    def pid(self) -> int | None:
        """Its process id here; None where it is no process of ours."""

    def prepare(self, job: Job, *, resume: bool) -> None:
        """Bring it to where it trains; what is done already is not done again.

        A machine that is paid for is let go when this fails or is interrupted.
        """

    def alive(self) -> bool:
        """Whether more is to come. What was said so far is then in the run folder."""

    def exit_code(self) -> int | None:
        """``None`` while it lives, or when nobody could see it end."""

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""

    def kill(self) -> None:
        """End it now."""

    def leave(self) -> str | None:
        """What goes on, until when and at what cost, when Ctrl-C leaves it; None when that ends it."""

    def fetch(self) -> bool:
        """Bring the result home; False when there is none. Nothing to do where it is home."""

    def release(self) -> None:
        """Let the machine go, for good, and confirm it."""


class Machine(Protocol):
    """One place where trainers run."""

    def check(self, job: Job) -> None:
        """Raise the fault for which no trainer can run there, before anything is done."""

    def offer(self, run: Run, job: Job, data: Rows, past: Sequence[Entry]) -> dict[str, Any]:
        """Show what it will cost and return it as facts. Raises ``OverBudget``; empty when free.

        ``past`` is the journal of the run's earlier attempts, empty for a new run.
        """

    def preview(self, run: Run, job: Job) -> list[dict[str, Any]]:
        """The requests and commands that a run would send, after ``offer``; sends nothing."""

    def start(self, run: Run, job: Job, log: Log, *, resume: bool) -> Work:
        """Start the trainer, or what it will run on; raise ``Locked`` when one is at work on the run."""

    def find(self, run: Run, log: Log) -> Work | None:
        """Return what works on this run, whoever started it, or ``None``."""


class MachineKind(Protocol):
    def __call__(self, scene: Scene) -> Machine: ...


MACHINES: dict[str, MachineKind] = {"here": Here, "docker": Docker, "runpod": RunPod}
