"""Few sandbox processes for many conversations: one that waits for its model may lose its process.

Its cells run again in a fresh one when it goes on. With the same seed they do the same; where they do
not, the conversation is told that its variables are gone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from datagen.sandbox import CellResult

if TYPE_CHECKING:
    from datagen.sandbox import Sandbox, Session

MOST = 128  # living processes, some 5 MB of their own each
LOST = "SandboxError: the variables of earlier cells are gone; start anew"


class Seats:
    """The places there are; safe for threads. More cells than places must not run at once."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: OrderedDict[int, Seat] = OrderedDict()
        self._alive = 0

    def taken(self, seat: Seat) -> None:
        """`seat` runs a cell now: it has a place, and one that waits gives up its own for it."""
        with self._lock:
            had = self._idle.pop(id(seat), None) is not None
            victim = None
            if not had and self._alive >= self._most and self._idle:
                _, victim = self._idle.popitem(last=False)
            elif not had:
                self._alive += 1
        if victim is not None:
            victim.give_up()

    def waits(self, seat: Seat) -> None:
        """`seat` waits for its model; its process may be taken."""
        with self._lock:
            self._idle[id(seat)] = seat

    def left(self, seat: Seat) -> None:
        """The conversation of `seat` is over; nothing happens where it had no place."""
        with self._lock:
            if self._idle.pop(id(seat), None) is not None:
                self._alive -= 1


class Seat:
    """One conversation's cells over `sandbox`; leave it to end its process."""

    def __init__(self, sandbox: Sandbox, seats: Seats) -> None:
        self._sandbox = sandbox
        self._seats = seats
        self._stack = ExitStack()
        self._session: Session | None = None
        self._ran: list[tuple[str, CellResult]] = []
        # Held by a cell: who was told to take this place waits for it. No circle can form, because a
        # seat whose cell runs is not among those that wait.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._seats.left(self)
        self.give_up()

    def run(self, code: str) -> CellResult:
        """Run one cell, after the earlier ones where their process is gone. Never raises for a cell."""
        with self._lock:
            self._seats.taken(self)
            try:
                session = self._session or self._again()
                return (
                    CellResult(ok=False, stderr=LOST)
                    if session is None
                    else self._cell(session, code)
                )
            finally:
                self._seats.waits(self)

    def _cell(self, session: Session, code: str) -> CellResult:
        result = session.run(code)
        self._ran.append((code, result))
        if result.timed_out or result.stderr.startswith("SandboxError"):
            self._ran.clear()  # the session goes on without variables, and so does what is run again
        return result

    def give_up(self) -> None:
        """End the process; a later cell starts another."""
        with self._lock:
            self._session = None
            self._stack.close()

    def _again(self) -> Session | None:
        """A fresh process in which the earlier cells have run; None where they now do otherwise."""
        session = self._session = self._stack.enter_context(self._sandbox.episode())
        for code, before in self._ran:
            result = session.run(code)
            if (result.ok, result.stdout, result.hooks) != (before.ok, before.stdout, before.hooks):
                self._ran.clear()
                self.give_up()
                return None
        return session
