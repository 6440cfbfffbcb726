"""This machine: the trainer as a child process.

The trainer holds the lock of ``.trainer.lock`` for as long as it lives: it inherits the descriptor.
So it is seen alive by anyone, also after the launcher that started it was killed, and no second
trainer can start in the same run folder.
"""

import importlib.util
import signal
from dataclasses import dataclass
from pathlib import Path

from launcher.runs import Run, is_locked, lock
from launcher.world import Child, World
from trainer.contract.errors import Locked, NotInstalled

NEEDED: tuple[str, ...] = ("torch", "transformers", "trl", "peft")


@dataclass(frozen=True)
class Process:
    """A trainer here: our own child, or one that an earlier launcher left (``child`` is None)."""

    world: World
    lock_file: Path
    pid: int | None
    child: Child | None = None

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


class Here:
    """The machine at hand."""

    def __init__(self, world: World) -> None:
        self.world = world

    def check(self) -> None:
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise NotInstalled(
                f"training here needs {', '.join(missing)}",
                "pip install -c constraints.txt '.[train]' (in the project's folder)",
            )

    def start(self, run: Run, *, resume: bool) -> Process:
        command = self.world.python("trainer", str(run.job), *["--resume"] * resume)
        try:
            with lock(run.trainer_lock, world=self.world) as held:
                child = self.world.start(command, log=run.log, lock=held)
        except BlockingIOError:
            raise Locked(
                f"a trainer is still at work in {run.folder}",
                f"pick it up with: launch train --resume {run.id}",
            ) from None
        return Process(self.world, run.trainer_lock, child.pid, child)

    def find(self, run: Run, *, pid: int | None) -> Process | None:
        if not is_locked(run.trainer_lock):
            return None
        return Process(self.world, run.trainer_lock, pid)
