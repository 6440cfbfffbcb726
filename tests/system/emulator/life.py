"""A pod from one start to its stop: pull, container, restarts, troubles, and the end."""

import heapq
import itertools
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import docker.errors
import requests

from tests.system.emulator import faults
from tests.system.emulator.container import Container
from tests.system.emulator.link import Link
from tests.system.emulator.pod import Pod
from tests.system.emulator.pull import Pulling
from tests.system.emulator.site import Site

START_AGAIN = 1.0
LOOK_AGAIN = 1.0


class Life:
    """A thread of its own. `end` returns at once; the next life waits for this one's end."""

    def __init__(self, site: Site, pod: Pod, before: "Life | None") -> None:
        self._site = site
        self._pod = pod
        self._before = before
        self._wake = Event()
        self._ending = self._again = self._broken = self._wipe = False
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._container: Container = before._container if before else Container(site, pod)
        self.last_port: int | None = None
        self.thread = Thread(target=self._run, name=f"pod {pod.id}", daemon=True)
        self.thread.start()

    def end(self, *, wipe: bool) -> None:
        """Stops the container with the site's grace; with `wipe` its volume goes too."""
        self._wipe = self._wipe or wipe
        self._ending = True
        self._wake.set()

    def restart(self) -> None:
        self._again = True
        self._wake.set()

    def strike(self) -> None:
        """The pod has new troubles pending."""
        self._wake.set()

    def _run(self) -> None:
        if self._before is not None:
            self._before.thread.join()
        try:
            self._open_links()
            self._early()
            pulling = Pulling(self._site, self._pod, rest=self._rest)
            if pulling.until_here(first=self._before is None, ended=lambda: self._ending):
                self._container.prepare()
                while not (self._ending or self._broken):
                    self._up()
                    self._watch()
                    self._container.remove(self._site.grace)
        except (docker.errors.DockerException, requests.RequestException, ValueError) as fault:
            self._break(f"error starting container: {fault}")
        while not self._ending:
            self._wake.wait()
            self._wake.clear()
        for link in self._pod.links.values():
            link.close()
        self._container.clear(self._site.grace, wipe=self._wipe)

    def _tell(self, status: str) -> None:
        with self._pod.lock:
            if not self._ending:
                self._pod.status = status

    def _break(self, line: str) -> None:
        self._broken = True
        self._pod.log.system(line)
        self._tell("ERROR")

    def _open_links(self) -> None:
        links: dict[int, Link] = {}
        for port in self._pod.settings.ports:
            number, _, protocol = port.partition("/")
            if protocol == "tcp":
                link = links[int(number)] = Link(self._site.loop)
                link.rtt = self._pod.rtt
                link.open()
        with self._pod.lock:
            self._pod.links = links
        self.last_port = links[22].port if 22 in links else None

    def _early(self) -> None:
        early = self._pod.trouble(faults.RunningEarly)
        if early and self._before is None:
            self._pod.started = self._site.clock.now()
            self._tell("RUNNING")
            self._rest(early.seconds)

    def _rest(self, seconds: float) -> None:
        """Waits, less when the pod ends."""
        until = self._site.loop.time() + seconds
        while not self._ending and self._site.loop.time() < until:
            self._wake.wait(max(0.0, until - self._site.loop.time()))
            self._wake.clear()

    def _up(self) -> None:
        if self._pod.status != "RUNNING":
            self._tell("STARTING")
        for number, target in self._container.start(on_exit=self._wake.set).items():
            self._pod.links[number].target = target
        if self._pod.status != "RUNNING" or self._pod.started is None:
            self._pod.started = self._site.clock.now()
            self._schedule()
            self._strike_due()
            if not self._broken:
                self._tell("RUNNING")

    def _watch(self) -> None:
        """Returns when the container is to be replaced or the life is over."""
        while not (self._ending or self._broken):
            if self._again:
                self._again = False
                self._pod.log.system("restart container")
                return
            code = self._container.exit_code()
            if code is not None:
                self._pod.restarts += 1
                self._pod.log.system(f"container exited with code {code}, starting it again")
                self._rest(START_AGAIN)
                return
            self._schedule()
            self._strike_due()
            wait = self._due[0][0] - self._site.loop.time() if self._due else LOOK_AGAIN
            self._wake.wait(min(LOOK_AGAIN, max(0.0, wait)))
            self._wake.clear()

    def _schedule(self) -> None:
        now = self._site.loop.time()
        with self._pod.lock:
            pending, self._pod.pending = self._pod.pending, []
        for trouble in pending:
            for after, act in self._acts(trouble):
                heapq.heappush(self._due, (now + after, next(self._order), act))

    def _strike_due(self) -> None:
        while self._due and self._due[0][0] <= self._site.loop.time() and not self._ending:
            heapq.heappop(self._due)[2]()

    def _acts(self, trouble: faults.Trouble) -> list[tuple[float, Callable[[], None]]]:
        """What a trouble does to a running pod, and when; nothing for those that act elsewhere."""
        after = trouble.after
        container, links = self._container, self._pod.links
        match trouble:
            case faults.Exit():
                return [(after, container.kill)]
            case faults.Broken():
                return [(after, lambda: self._fail(wipe=trouble.wipe))]
            case faults.IdleGpu():
                return [(after, container.idle)]
            case faults.Impostor():
                return [(after, self._swap)]
            case faults.CutLink():
                return [
                    (after + turn * trouble.every, lambda: _cut(links, trouble.down))
                    for turn in range(trouble.strikes)
                ]
            case faults.SlowLink():
                return [(after, lambda: self._slow(trouble.rtt))]
        return []

    def _fail(self, *, wipe: bool) -> None:
        self._container.remove(0.0)
        if wipe:
            self._container.wipe()
        self._break("host unreachable" if wipe else "container failed")

    def _swap(self) -> None:
        self._pod.links[22].target = self._container.impostor()

    def _slow(self, rtt: float) -> None:
        self._pod.rtt = rtt
        for link in self._pod.links.values():
            link.rtt = rtt


def _cut(links: dict[int, Any], down: float) -> None:
    for link in links.values():
        link.cut(down=down)
