"""Which processes of one training are alive: each has a connection to the first, and sends a line a second.

A process that ends closes its connection, and one that is stopped sends nothing. The first process then
tells the others which one was lost. This does not depend on the library that exchanges tensors: gloo's
errors name an address, and NCCL waits for a lost process until its limit and then aborts.
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
# A process that computes, loads or writes still sends lines, from a thread: one that sends none for so
# many beats is stopped, or its machine is gone. Python holds that thread back while it opens a library,
# which takes seconds from a cold disk.
SILENT = 120
# The longest that others may wait in one exchange. Before the first one each loads its model, and may
# download it: as long as a pod is given for both. Later a step is compiled, a checkpoint written or a
# sample generated meanwhile: as long as a pod is given for a step.
LOADING, STEP = 2700.0, 900.0
# After a loss: until a process that waits in a library is ended, and one that does something else.
WAITS, WORKS = 5.0, 300.0
SAY_AFTER, SAY_AGAIN = 10.0, 60.0
LIBRARY = "/torch/distributed/"
LONGEST_LINE = 1 << 16


@dataclass(frozen=True)
class Loss:
    """Which processes are lost, why, and the exit code of one that said why."""

    ranks: tuple[int, ...]
    why: str
    code: int = 0


class Link:
    """A connection that carries JSON lines."""

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
                """What it had sent before is still read; then it reads as closed."""

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
        """Send no more, and let the other side read what was sent: closing at once may discard it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            until = time.monotonic() + 2 * BEAT
            while self.open and select.select([self], [], [], max(until - time.monotonic(), 0))[0]:
                self.received()
        self.open = False
        self._socket.close()


class Peers:
    """The other processes, once all have met; a thread follows them until ``leave``.

    ``links``: of the first process to every other, of any other to the first. ``name`` says a process's
    name for people. ``end`` is called with the ``ProcessLost`` when the process waits in a library for
    one that is lost: it reports it and ends the process.
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
        self.loss: Loss | None = None
        self._lost = threading.Event()
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
        """Mark the time in which this process waits for the others. Raises ``ProcessLost``."""
        self.raise_if_lost()
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
        self._limit = STEP

    def raise_if_lost(self) -> None:
        if self.loss:
            raise self.fault(self.loss)

    def find_loss(self, seconds: float) -> Loss | None:
        """Return who is lost; it may take ``seconds`` to be known."""
        self._lost.wait(seconds)
        return self.loss

    def fault(self, loss: Loss) -> ProcessLost:
        return ProcessLost(
            f"{self._name(loss.ranks)} {loss.why}",
            "see what it printed last, and train.log; then start the run again with --resume",
        )

    def tell(self, cause: str, code: int) -> None:
        """Tell the others why this process ends."""
        word = Loss((self._rank,), f"ended: {cause}", code)
        if self.loss is None and self._rank == 0:
            self._lose(word)
        elif self.loss is None:
            self._links[0].send(over=word.why, code=code)
        self._finish()

    def leave(self) -> None:
        """Stop following: what this process does from now on concerns no other."""
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
                    self._hear(rank, word)
                if was_open and not link.open and rank not in self._left:
                    self._lose(Loss((rank,), "ended without a word"))
            if time.monotonic() >= due:
                self._beat()
                # From now on, not from when it was due: a process that was stopped itself counts anew.
                due = time.monotonic() + BEAT

    def _hear(self, rank: int, word: dict[str, Any]) -> None:
        if "lost" in word:
            self._lose(Loss(tuple(word["lost"]), word["why"], word["code"]))
        elif "over" in word:
            self._lose(Loss((rank,), word["over"], word["code"]))
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
                self._lose(Loss((rank,), f"has not answered for {SILENT * BEAT:.0f} s"))
        if self._rank == 0:
            self._judge(now, waits)
        if self.loss and now - self._lost_at > (WORKS if waits is None else WAITS):
            self._end(self.fault(self.loss))

    def _waited(self, now: float) -> float | None:
        """Return for how long the main thread has waited: in an exchange of ours, or of a library's."""
        if (since := self._since) is not None:
            return now - since
        frame = sys._current_frames().get(self._main)  # noqa: SLF001 - documented, whatever its name
        if frame is None or LIBRARY not in frame.f_code.co_filename:
            self._seen = None
            return None
        self._seen = now if self._seen is None else self._seen
        return now - self._seen

    def _judge(self, now: float, waits: float | None) -> None:
        """Of the first process: say for whom it waits; lose those for which one has waited too long."""
        busy = [r for r, waited in self._waits.items() if waited is None and r not in self._left]
        if any(waited is not None and waited > self._limit for waited in self._waits.values()):
            why = f"did not get as far as the others in {self._limit:.0f} s"
            if not busy:
                why = f"have waited for each other for {self._limit:.0f} s"
            self._lose(Loss(tuple(sorted(busy or self._waits)), why))
        elif busy and waits is not None and waits > SAY_AFTER and now > self._said + SAY_AGAIN:
            self._said = now
            self._say(f"waiting for {self._name(busy)}, for up to {self._limit - waits:.0f} s")

    def _lose(self, loss: Loss) -> None:
        if self.loss is not None:
            return
        self._lost_at = time.monotonic()
        self.loss = loss
        self._lost.set()
        if self._rank == 0:
            for link in self._links.values():
                link.send(lost=loss.ranks, why=loss.why, code=loss.code)


def name(ranks: Sequence[int], size: int, *, a_machine: int, hosts: Mapping[int, str]) -> str:
    """Return what people call these processes, with their machines where there are several.

    ``a_machine``: how many processes each machine has, 0 where that is unknown.
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


def is_interruption(loss: Loss) -> bool:
    """Say whether the lost process was asked to end, as perhaps all are."""
    return loss.code == Interrupted.exit_code
