"""How the processes of one training connect; reports for whom it waits, and for how long.

torch's store, at MASTER_ADDR and MASTER_PORT, holds the port on which the first process listens.
"""

import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from trainer.contract.command.errors import ProcessLost
from trainer.processes.peers import BEAT, Link

SAY_AFTER = 10.0
# Processes of one machine start together, and have only Python's packages to import before they meet.
# torchrun starts those of several machines together too, from disks that may be cold.
ONE_MACHINE, SEVERAL_MACHINES = 120.0, 180.0
TO_ANSWER = 10.0
KEY = "peers"


class Rendezvous:
    """Connects the processes within a time limit. ``several``: they are on more than one machine."""

    def __init__(
        self,
        rank: int,
        size: int,
        place: tuple[str, int],
        *,
        several: bool,
        name: Callable[[Sequence[int]], str],
        say: Callable[[str], None],
    ) -> None:
        self._rank, self._size, self._place = rank, size, place
        self._name, self._say = name, say
        self._several = several
        self._limit = SEVERAL_MACHINES if several else ONE_MACHINE
        self._begun = time.monotonic()
        self._said = ""
        self.hosts: dict[int, str] = {}

    @property
    def left(self) -> float:
        return self._begun + self._limit - time.monotonic()

    def reach(self) -> None:
        """Return once torch's store accepts connections. Raises ``ProcessLost``."""
        while True:
            try:
                socket.create_connection(self._place, timeout=max(self.left, BEAT)).close()
            except OSError:
                self._wait_for([0], at=True)
                time.sleep(min(BEAT, 0.2))
            else:
                return

    def store(self, *, hosted: bool) -> Any:
        """Return torch's store, which the first process hosts, or torchrun (``hosted``)."""
        from torch.distributed import TCPStore

        here = self._rank == 0 and not hosted
        if not here:
            self.reach()
        limit = timedelta(seconds=max(self.left, TO_ANSWER))
        with self._as_lost():
            return TCPStore(*self._place, self._size, here, limit, wait_for_workers=False)

    def links(self, store: Any) -> dict[int, Link]:
        """Return this process's connections once all are connected. Raises ``ProcessLost``."""
        return self._gather(store) if self._rank == 0 else {0: self._join(store)}

    def _gather(self, store: Any) -> dict[int, Link]:
        token = secrets.token_hex()
        links: dict[int, Link] = {}
        unknown: list[Link] = []
        self.hosts = {0: socket.gethostname()}
        with _listener(several=self._several) as listener:
            store.set(KEY, f"{listener.getsockname()[1]} {token}")
            try:
                while missing := [n for n in range(1, self._size) if n not in links]:
                    for link in links.values():
                        link.send(missing=missing)
                    self._wait_for(missing)
                    watched: list[socket.socket | Link] = [listener, *unknown]
                    if listener in select.select(watched, [], [], BEAT)[0]:
                        unknown.append(Link(listener.accept()[0]))
                    for link in [*unknown]:
                        for word in link.received():
                            if secrets.compare_digest(str(word.get("token")), token):
                                links[int(word["rank"])] = link
                                self.hosts[int(word["rank"])] = str(word["host"])
                        if link in links.values() or not link.open:
                            unknown.remove(link)
                    for rank, link in links.items():
                        self._check(rank, link)
            except ProcessLost as lost:
                for link in links.values():
                    link.send(lost=lost.cause)
                    link.finish()
                raise
        for link in links.values():
            link.send(hosts=list(self.hosts.items()))
        return links

    def _join(self, store: Any) -> Link:
        while not self._check_key(store):
            self._wait_for([0], at=True)
            time.sleep(min(BEAT, 0.2))
        with self._as_lost():
            port, token = store.get(KEY).decode().split()
            connection = socket.create_connection((self._place[0], int(port)), timeout=TO_ANSWER)
        link = Link(connection)
        link.send(token=token, rank=self._rank, host=socket.gethostname())
        # The first process gives up before this one, and reports whom it waited for.
        self._limit += TO_ANSWER
        missing = [0]
        while True:
            select.select([link], [], [], BEAT)
            for word in link.received():
                if "hosts" in word:
                    self.hosts = {int(rank): str(host) for rank, host in word["hosts"]}
                    return link
                if "lost" in word:
                    raise _lost(word["lost"])
                missing = word["missing"]
            self._check(0, link)
            self._wait_for(missing)

    def _check_key(self, store: Any) -> bool:
        with self._as_lost():
            return bool(store.check([KEY]))

    def _check(self, rank: int, link: Link) -> None:
        link.received()
        if not link.open:
            raise _lost(f"{self._name([rank])} ended without an error message")

    def _wait_for(self, missing: Sequence[int], *, at: bool = False) -> None:
        """After a while report for whom this process waits; at the limit raise ``ProcessLost``."""
        who = self._name(missing) + f" at {self._place[0]}:{self._place[1]}" * at
        if self.left <= 0:
            raise _lost(f"{who} did not come within {self._limit:.0f} s")
        if self._said != who and self._limit - self.left >= SAY_AFTER:
            self._said = who
            self._say(f"waiting for {who}, for up to {self.left:.0f} s")

    @contextmanager
    def _as_lost(self) -> Iterator[None]:
        """Raise ``ProcessLost`` for the first process if torch's store or a connection fails."""
        from torch.distributed import DistError

        try:
            yield
        except (OSError, DistError) as error:
            place = f"{self._place[0]}:{self._place[1]}"
            raise _lost(f"{self._name([0])} at {place} cannot be reached any more") from error


def _lost(cause: str) -> ProcessLost:
    return ProcessLost(
        cause,
        "see what it printed, and that the machines reach each other; then start all of them again",
    )


def _listener(*, several: bool) -> socket.socket:
    if several and socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("" if several else "127.0.0.1", 0))
