"""Which processes of one training are alive: each sends a line a second over a connection to the first.

A process that ends closes its connection, and one that is stopped sends nothing. The first process then
names the lost one to the others. This is separate from the library that exchanges tensors: gloo's errors
name only an address, and NCCL waits for a lost process until its limit and then aborts.
"""

import json
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from trainer.contract.command.errors import Interrupted, ProcessLost

BEAT = 1.0  # seconds between two lines
# A process that computes, loads or writes still sends lines, from a thread. One that sends none for so
# many beats is stopped, or its machine is off. Python blocks the thread while it opens a library, which
# takes seconds from a cold disk.
SILENT = 120
# Seconds that others may wait in one exchange. Before the first one each process loads its model and may
# download it: a pod's limit for both. Later it may compile a step, write a checkpoint or generate a
# sample: a pod's limit for a step.
LOADING, STEP = 2700.0, 900.0
# Seconds after a loss until a process is ended: one that waits in a library, and one that is busy.
END_WAITING, END_BUSY = 5.0, 300.0
SAY_AFTER, SAY_AGAIN = 10.0, 60.0
LIBRARY = "/torch/distributed/"
LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class LostProcess:
    """Which processes are lost, why, and the exit code if a process reported one."""

    ranks: tuple[int, ...]
    why: str
    code: int = 0


class Link:
    """A connection that transfers JSON lines."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._lock = threading.Lock()
        self._rest = b""
        self.open = True

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, **word: Any) -> None:
        with self._lock:
            try:
                self._socket.sendall(json.dumps(word).encode() + b"\n")
            except OSError:
                """What the other side sent before is still read; then the connection reads as closed."""

    def received(self) -> list[dict[str, Any]]:
        """Return the lines that came since the last call, without waiting."""
        while self.open:
            try:
                block = self._socket.recv(LONGEST_LINE)
            except BlockingIOError:
                break
            except OSError:
                block = b""
            self._rest += block
            self.open = bool(block) and len(self._rest) <= LONGEST_LINE
        *lines, self._rest = self._rest.split(b"\n")
        return [json.loads(line) for line in lines]

    def finish(self) -> None:
        """Send no more, and let the other side read what was sent: an immediate close may discard it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            until = time.monotonic() + 2 * BEAT
            while self.open and select.select([self], [], [], max(until - time.monotonic(), 0))[0]:
                self.received()
        self.open = False
        self._socket.close()


class Peers:
    """The other processes, once all have met; a thread follows them until ``leave``.

    ``links``: from the first process to every other, from any other to the first. ``name`` returns the
    processes' name for people. ``end`` reports a ``ProcessLost`` and ends this process; it is called while
    this process waits in a library for a lost one.
    """

    def __init__(
        self,
        rank: int,
        links: dict[int, Link],
        *,
        name: Callable[[Sequence[int]], str],
        say: Callable[[str], None],
        end: Callable[[ProcessLost], None],
    ) -> None:
        self._rank, self._links, self._name, self._say, self._end = rank, links, name, say, end
        self.lost: LostProcess | None = None
        self._lost_event = threading.Event()
        self._lost_at = 0.0
        self._over = threading.Event()
        self._left: set[int] = set()
        self._silent = dict.fromkeys(links, 0)
        self._main = threading.get_ident()
        self._since: float | None = None
        self._seen: float | None = None
        self._said = -SAY_AGAIN
        self._limit = LOADING
        # Seconds that each has waited for the others; None while it does something else.
        self._waits: dict[int, float | None] = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark the time that this process waits for the others. Raises ``ProcessLost``."""
        self.raise_if_lost()
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
        self._limit = STEP

    def raise_if_lost(self) -> None:
        if self.lost:
            raise self.fault(self.lost)

    def find_lost(self, seconds: float) -> LostProcess | None:
        """Return the lost processes, after waiting up to ``seconds`` for them to be known."""
        self._lost_event.wait(seconds)
        return self.lost

    def fault(self, lost: LostProcess) -> ProcessLost:
        return ProcessLost(
            f"{self._name(lost.ranks)} {lost.why}",
            "see what it printed last, and train.log; then start the run again with --resume",
        )

    def announce_end(self, cause: str, code: int) -> None:
        """Send the others the reason why this process ends."""
        lost = LostProcess((self._rank,), f"ended: {cause}", code)
        if self.lost is None and self._rank == 0:
            self._set_lost(lost)
        elif self.lost is None:
            self._links[0].send(over=lost.why, code=code)
        self._finish()

    def leave(self) -> None:
        """Stop following the others, which no longer need this process."""
        for link in self._links.values():
            link.send(left=True)
        self._finish()

    def _finish(self) -> None:
        self._over.set()
        self._thread.join()
        for link in self._links.values():
            link.finish()

    def _follow(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            links = [link for link in self._links.values() if link.open]
            select.select(links, [], [], max(due - time.monotonic(), 0.0))
            for rank, link in self._links.items():
                was_open = link.open
                for word in link.received():
                    self._silent[rank] = 0
                    self._receive(rank, word)
                if was_open and not link.open and rank not in self._left:
                    self._set_lost(LostProcess((rank,), "ended without an error message"))
            if time.monotonic() >= due:
                self._beat()
                # Counted from now: a process that was stopped itself starts a new count.
                due = time.monotonic() + BEAT

    def _receive(self, rank: int, word: dict[str, Any]) -> None:
        if "lost" in word:
            self._set_lost(LostProcess(tuple(word["lost"]), word["why"], word["code"]))
        elif "over" in word:
            self._set_lost(LostProcess((rank,), word["over"], word["code"]))
        elif "left" in word:
            self._left.add(rank)
        else:
            self._waits[rank] = word["waits"]

    def _beat(self) -> None:
        now = time.monotonic()
        waits = self._waits[self._rank] = self._waited(now)
        for rank, link in self._links.items():
            if not link.open or rank in self._left:
                continue
            link.send(waits=waits)
            self._silent[rank] += 1
            if self._silent[rank] > SILENT:
                self._set_lost(LostProcess((rank,), f"has not answered for {SILENT * BEAT:.0f} s"))
        if self._rank == 0:
            self._find_stuck(now, waits)
        if self.lost and now - self._lost_at > (END_BUSY if waits is None else END_WAITING):
            self._end(self.fault(self.lost))

    def _waited(self, now: float) -> float | None:
        """Return how long the main thread has waited in an exchange, here or in a library; else None."""
        if (since := self._since) is not None:
            return now - since
        frame = sys._current_frames().get(self._main)  # noqa: SLF001 - it is documented
        if frame is None or LIBRARY not in frame.f_code.co_filename:
            self._seen = None
            return None
        self._seen = now if self._seen is None else self._seen
        return now - self._seen

    def _find_stuck(self, now: float, waits: float | None) -> None:
        """In the first process: report for whom it waits; declare lost those who are waited for too long."""
        busy = [r for r, waited in self._waits.items() if waited is None and r not in self._left]
        if any(waited is not None and waited > self._limit for waited in self._waits.values()):
            why = f"did not reach the others' exchange within {self._limit:.0f} s"
            if not busy:
                why = f"have waited for each other for {self._limit:.0f} s"
            self._set_lost(LostProcess(tuple(sorted(busy or self._waits)), why))
        elif busy and waits is not None and waits > SAY_AFTER and now > self._said + SAY_AGAIN:
            self._said = now
            self._say(f"waiting for {self._name(busy)}, for up to {self._limit - waits:.0f} s")

    def _set_lost(self, lost: LostProcess) -> None:
        if self.lost is not None:
            return
        self._lost_at = time.monotonic()
        self.lost = lost
        self._lost_event.set()
        if self._rank == 0:
            for link in self._links.values():
                link.send(lost=lost.ranks, why=lost.why, code=lost.code)


def name(ranks: Sequence[int], size: int, *, a_machine: int, hosts: Mapping[int, str]) -> str:
    """Return the processes' name for people, with their machines if there are several.

    ``a_machine``: the number of processes on each machine, 0 if unknown.
    """
    plural = "es" if len(ranks) > 1 else ""
    found = f"process{plural} {', '.join(str(rank + 1) for rank in ranks)} of {size}"
    if a_machine == size:
        return found
    machines = [f"machine {rank // a_machine + 1}" if a_machine else "" for rank in ranks]
    known = [hosts.get(rank, "") for rank in ranks]
    places = dict.fromkeys(
        ", ".join(filter(None, both)) for both in zip(machines, known, strict=True)
    )
    where = "; ".join(filter(None, places))
    return f"{found} ({where})" if where else found


def is_interruption(lost: LostProcess) -> bool:
    """Say whether the lost process was interrupted, as perhaps all are."""
    return lost.code == Interrupted.exit_code
