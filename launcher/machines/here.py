"""This machine: the trainer as a child process.

The trainer holds the lock of ``.trainer.lock`` for as long as it lives: it inherits the descriptor.
So it is seen alive by anyone, also after the launcher that started it was killed, and no second
trainer can start in the same run folder.
"""

import importlib.util
import shlex
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from launcher.context import Context
from launcher.quote.compare_gpus import local_table
from launcher.runs.run_folder import Log, Run, is_locked, lock
from launcher.runs.run_state import RunState
from launcher.world import Child, World
from trainer.contract import events
from trainer.contract.command.errors import Fault, Locked, NotInstalled
from trainer.contract.command.installing import install
from trainer.contract.job import Job
from trainer.contract.rows import Rows

NEEDED: tuple[str, ...] = ("torch", "transformers", "trl", "peft")
TO_EVALUATE = ("pandas", "scipy")


@dataclass(frozen=True)
class Process:
    """A trainer here: our own child, or one that an earlier launcher left (``child`` is None)."""

    world: World
    lock_file: Path
    pid: int | None
    child: Child | None = None
    lost: ClassVar[None] = None

    def prepare(self, job: Job, *, resume: bool) -> None:
        """It trains as soon as it is started."""

    def alive(self) -> bool:
        if self.child is not None:
            return self.child.exit_code() is None
        return is_locked(self.lock_file)

    def exit_code(self) -> int | None:
        return self.child.exit_code() if self.child is not None else None

    def stop(self) -> None:
        if self.pid is not None and self.alive():
            self.world.signal(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.pid is not None and self.alive():
            self.world.signal(self.pid, signal.SIGKILL, group=True)

    def leave(self) -> str | None:
        return None

    def fetch(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is rented."""


class Here:
    """The machine at hand."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.world = context.world
        self.view = context.view

    def missing(self, job: Job) -> list[Fault]:
        evaluates = job.evaluate is not None or job.validation is not None
        needed = (*NEEDED, *TO_EVALUATE) if evaluates else NEEDED
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if not missing:
            return []
        extras = "train,datagen" if evaluates else "train"
        return [
            NotInstalled(
                f"training here needs {', '.join(missing)}",
                install(extras),
            )
        ]

    def offer(self, run: Run, job: Job, data: Rows, past: RunState) -> dict[str, Any]:
        return {}

    def preview(
        self, run: Run, job: Job, data: Rows | None
    ) -> tuple[list[dict[str, Any]], list[Fault]]:
        for text in local_table(job, data, world=self.context.world):
            self.context.view.say(text)
        return [{"command": shlex.join(self._command(run, resume=False))}], []

    def start(self, run: Run, job: Job, log: Log, *, resume: bool) -> Process:
        """Its events from now on begin at the journalled offset."""
        self.view.say("starting the trainer")
        _, offset = events.read(run.events)
        with log.effect("start", offset=offset, resume=resume) as outcome:
            try:
                with lock(run.trainer_lock, world=self.world) as held:
                    child = self.world.start(
                        self._command(run, resume=resume), log=run.log, lock=held
                    )
            except BlockingIOError:
                raise Locked(
                    f"a trainer is still running in {run.folder}",
                    f"continue it with: launch train --resume {run.id}",
                ) from None
            outcome["pid"] = child.pid
        return Process(self.world, run.trainer_lock, child.pid, child)

    def find(self, run: Run, log: Log) -> Process | None:
        if not is_locked(run.trainer_lock):
            return None
        pid = log.state.summary.get("pid")
        if pid is None:
            self.view.say(
                "the trainer's process id is unknown: it cannot be stopped from here and runs to its end"
            )
        return Process(self.world, run.trainer_lock, pid)

    def _command(self, run: Run, *, resume: bool) -> list[str]:
        return self.world.python("trainer", str(run.job), *["--resume"] * resume)
