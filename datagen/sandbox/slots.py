"""Share few sandbox processes among many conversations: a waiting one may lose its process.

When it continues, its cells run again in a new process. With the same seed they give the same results; if
not, the next result reports that the variables are gone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from datagen.sandbox import CellResult

if TYPE_CHECKING:
    from datagen.sandbox import Sandbox, Session

MAX_PROCESSES = 128  # living processes, of some 5 MB each
LOST = "SandboxError: the variables of earlier cells are gone; start again"


class Slots:
    """A limited number of slots (processes), safe for threads; at most as many cells may run at once."""

    def __init__(self, most: int = MAX_PROCESSES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, SlotSession] = OrderedDict()
        self._alive = 0

    def acquire(self, owner: SlotSession) -> None:
        """Give `owner` a slot to run a cell; if all are in use, a waiting owner loses its process."""
        with self._lock:
            had = self._idle.pop(id(owner), None) is not None
            victim = None
            if not had and self._alive >= self._most and self._idle:
                _, victim = self._idle.popitem(last=False)
            elif not had:
                self._alive += 1
        if victim is not None:
            victim.stop_process()

    def set_idle(self, owner: SlotSession) -> None:
        """Mark `owner` as waiting for its model: another may take its slot."""
        with self._lock:
            self._idle[id(owner)] = owner

    def release(self, owner: SlotSession) -> None:
        """Free the slot of `owner`, whose conversation is over; no effect if it has none."""
        with self._lock:
            if self._idle.pop(id(owner), None) is not None:
                self._alive -= 1


class SlotSession:
    """Runs the cells of one conversation in `sandbox`; leaving the block ends its process."""

    def __init__(self, sandbox: Sandbox, slots: Slots) -> None:
        self._sandbox = sandbox
        self._slots = slots
        self._stack = ExitStack()
        self._session: Session | None = None
        self._ran: list[tuple[str, CellResult]] = []
        # A running cell holds it, so an owner that takes this slot waits for the cell. There is no
        # deadlock, because an owner whose cell runs is not among the waiting ones.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._slots.release(self)
        self.stop_process()

    def run(self, code: str) -> CellResult:
        """Run one cell; if the process was taken, run the earlier cells again first.

        Never raises for what a cell does.
        """
        with self._lock:
            self._slots.acquire(self)
            try:
                session = self._session or self._restart()
                return (
                    CellResult(ok=False, stderr=LOST)
                    if session is None
                    else self._cell(session, code)
                )
            finally:
                self._slots.set_idle(self)

    def _cell(self, session: Session, code: str) -> CellResult:
        result = session.run(code)
        self._ran.append((code, result))
        if result.timed_out or result.stderr.startswith("SandboxError"):
            self._ran.clear()  # the session continues without variables, also when its cells run again
        return result

    def stop_process(self) -> None:
        """End the process; a later cell starts another."""
        with self._lock:
            self._session = None
            self._stack.close()

    def _restart(self) -> Session | None:
        """Start a process and run the earlier cells in it; None if their results differ this time."""
        session = self._session = self._stack.enter_context(self._sandbox.episode())
        for code, before in self._ran:
            result = session.run(code)
            if (result.ok, result.stdout, result.hooks) != (before.ok, before.stdout, before.hooks):
                self._ran.clear()
                self.stop_process()
                return None
        return session
