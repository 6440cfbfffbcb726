"""The child processes of a server: some forked in advance, each killed and reaped by its number."""

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

from datagen.sandbox import frames

# All are made at once when none is left: after each fork the server's own next steps copy the pages
# that they touch, and several forks in a row pay for that once.
SPARES = 4


class ChildPool:
    """``start`` runs in each new child with its end of the channel, and never returns."""

    def __init__(self, start: Callable[[int], NoReturn], *, spares: int = SPARES) -> None:
        self._start = start
        self._most_spares = spares
        self._spares: deque[tuple[int, socket.socket]] = deque()
        self._running: dict[int, int] = {}
        self._ended: set[int] = set()

    def take(self, number: int) -> socket.socket:
        """Give a child the number of an episode; the other end of its channel. Raises OSError."""
        pid, ours = self._spares.popleft() if self._spares else _fork(self._start)
        self._running[number] = pid
        return ours

    def end(self, number: int) -> None:
        """Kill the child of this number, if there is one."""
        pid = self._running.pop(number, None)
        if pid is not None:
            self._kill(pid)

    def end_all(self) -> None:
        for number in list(self._running):
            self.end(number)
        self.drop_spares()
        for pid in self._ended:
            os.waitpid(pid, 0)

    def drop_spares(self) -> None:
        """Kill the spares: they were forked before the server's latest imports."""
        while self._spares:
            pid, ours = self._spares.popleft()
            ours.close()
            self._kill(pid)

    def reap_and_refill(self) -> bool:
        """Reap ended children and fork spares if none are left; return whether there was work."""
        dead = {pid for pid in self._ended if os.waitpid(pid, os.WNOHANG)[0]}
        self._ended -= dead
        if self._spares:
            return bool(dead)
        with contextlib.suppress(OSError):  # reported when an episode needs a child
            while len(self._spares) < self._most_spares:
                self._spares.append(_fork(self._start))
        return bool(dead or self._spares)

    def has_dying(self) -> bool:
        return bool(self._ended)

    def _kill(self, pid: int) -> None:
        # Not reaped before this, so the number cannot have become another process's.
        os.kill(pid, signal.SIGKILL)
        self._ended.add(pid)


def ask_in_child(start: Callable[[int], NoReturn]) -> Any:
    """The one frame that a child writes and ends with; raises BrokenFrameError, OSError."""
    pid, ours = _fork(start)
    with ours:
        try:
            return frames.read_frame(ours.fileno())
        finally:
            os.waitpid(pid, 0)


def _fork(start: Callable[[int], NoReturn]) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            raise
        if pid == 0:
            start(theirs.fileno())
    return pid, ours
