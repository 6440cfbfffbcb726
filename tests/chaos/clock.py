"""Virtual time, and everything that lives in it: one thread each, of which exactly one runs.

Who sleeps hands on to whoever wakes first, so a run depends on nothing but its seed. ``kill`` is
``kill -9``: the next thing that is done raises, and so does all that the unwinding would do outside.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

MOST_STEPS = 600_000
MOST_TIME = 12 * 86400.0


class Killed(BaseException):
    """As if the process had ended."""


class Hung(BaseException):
    """More steps, or more virtual time, than any schedule needs."""


class Actor:
    """One process. On the ``laptop`` it stands still while that sleeps."""

    def __init__(self, clock: "Clock", name: str, work: Callable[[], None], *, laptop: bool):
        self.clock, self.name, self.work, self.laptop = clock, name, work, laptop
        self.dead = self.done = False
        self.turn = 0
        self.error: BaseException | None = None
        self.go = threading.Semaphore(0)

    def check(self) -> None:
        """Raise when this process does not live any more."""
        if self.dead:
            raise Killed
        if self.clock.steps > MOST_STEPS or self.clock.time - self.clock.begin > MOST_TIME:
            raise Hung(f"{self.name}: {self.clock.steps} steps, {self.clock.time:.0f}")

    def run(self) -> None:
        self.go.acquire()
        try:
            self.check()
            self.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - judged afterwards
            self.error = error
        self.done = True
        self.clock.next(None)


class Clock:
    """``nights``: spans in which the laptop sleeps."""

    def __init__(self, begin: float) -> None:
        self.begin = self.time = begin
        self.steps = 0
        self.nights: list[tuple[float, float]] = []
        self.actors: list[Actor] = []
        self._heap: list[tuple[float, int, Actor | None, Any]] = []
        self._count = itertools.count()
        self.me = Actor(self, "user", lambda: None, laptop=True)

    def at(self, when: float, do: Callable[[], None]) -> None:
        """``do`` must not sleep."""
        self._push(when, None, do)

    def spawn(self, name: str, work: Callable[[], None], *, laptop: bool) -> Actor:
        actor = Actor(self, name, work, laptop=laptop)
        self.actors.append(actor)
        threading.Thread(target=actor.run, name=name, daemon=True).start()
        self._push(self.time, actor, 0)
        return actor

    def kill(self, actor: Actor) -> None:
        if not actor.done and not actor.dead:
            actor.dead = True
            actor.laptop = False
            actor.turn += 1
            self._push(self.time, actor, actor.turn)

    def sleep(self, seconds: float) -> None:
        me = self.me
        me.check()
        self.steps += 1
        when = self.time + max(seconds, 0.0)
        me.turn += 1
        self._push(when, me, me.turn)
        self.next(me)
        me.check()

    def next(self, me: Actor | None) -> None:
        """Hand on; return when it is ``me``'s turn, at once when it has ended."""
        while True:
            when, _, who, what = heapq.heappop(self._heap)
            self.time = max(self.time, when)
            if who is None:
                what()
            elif not who.done and who.turn == what:
                woken = self._awake(self.time) if who.laptop else self.time
                if woken <= self.time:
                    break
                self._push(woken, who, what)
        self.me = who
        if who is not me:
            who.go.release()
            if me is not None:
                me.go.acquire()

    def close(self) -> None:
        """End every process, so that no thread stays."""
        self.steps = 0
        self.begin = self.time
        for actor in self.actors:
            self.kill(actor)
        while any(not actor.done for actor in self.actors):
            self.sleep(0.0)

    def _awake(self, now: float) -> float:
        return max((until for since, until in self.nights if since <= now < until), default=now)

    def _push(self, when: float, who: Actor | None, what: Any) -> None:
        heapq.heappush(self._heap, (max(when, self.time), next(self._count), who, what))
