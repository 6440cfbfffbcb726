"""The machines a run can train on. Each starts a trainer for a run and reports whether it is running."""

from typing import Any, Protocol

from launcher.context import Context
from launcher.machines.docker import Docker
from launcher.machines.here import Here
from launcher.machines.runpod import RunPod
from launcher.runs.run_folder import Log, Run
from launcher.runs.run_state import RunState
from trainer.contract.command.errors import Fault
from trainer.contract.job import Job
from trainer.contract.rows import Rows


class Work(Protocol):
    """A trainer that is running or starting. It journals its own effects on the outside."""

    @property
    def pid(self) -> int | None:
        """Its process id on this machine; None if it is not a process of this machine."""

    @property
    def lost(self) -> str | None:
        """Why the trainer ended, where no exit code can tell: "because ..."; else None."""

    def prepare(self, job: Job, *, resume: bool) -> None:
        """Do everything up to the start of training; finished steps are not repeated.

        A rented pod is deleted when this fails or is interrupted.
        """

    def alive(self) -> bool:
        """Whether the trainer is running. Its output so far is then in the run folder."""

    def exit_code(self) -> int | None:
        """``None`` while it runs, or when no launcher saw it end."""

    def stop(self) -> None:
        """Ask it to save a checkpoint and end."""

    def kill(self) -> None:
        """End it now."""

    def leave(self) -> str | None:
        """What keeps running after Ctrl-C, its deadline and its cost; None when Ctrl-C ends the trainer."""

    def fetch(self) -> bool:
        """Download the result; False if it is missing. Does nothing if it is on this machine."""

    def release(self) -> None:
        """Delete the rented machine and confirm that it is gone."""


class Machine(Protocol):
    """One place where trainers run."""

    def missing(self, job: Job) -> list[Fault]:
        """What a trainer needs there and does not find; empty if it can run. Changes nothing."""

    def offer(self, run: Run, job: Job, data: Rows, past: RunState) -> dict[str, Any]:
        """Show what it will cost and return it as facts. Raises ``OverBudget``; empty when free.

        ``past`` is the state of the run before this attempt, empty for a new run.
        """

    def preview(
        self, run: Run, job: Job, data: Rows | None
    ) -> tuple[list[dict[str, Any]], list[Fault]]:
        """Show what a run would cost; return the requests and commands that it would send.

        Needs no key, engine or network: the faults name what could not be looked up. ``data`` None: the
        cost is that of a typical set of rows.
        """

    def start(self, run: Run, job: Job, log: Log, *, resume: bool) -> Work:
        """Start the trainer, or what it will run on; raise ``Locked`` if one is running."""

    def find(self, run: Run, log: Log) -> Work | None:
        """Return the trainer of this run, also one that another launcher started, or ``None``."""


class MachineKind(Protocol):
    def __call__(self, context: Context) -> Machine: ...


MACHINES: dict[str, MachineKind] = {"here": Here, "docker": Docker, "runpod": RunPod}
