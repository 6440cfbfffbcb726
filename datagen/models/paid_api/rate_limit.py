"""Limit the simultaneous calls to a model, and compute the wait before a retry."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
JITTER = 0.25
TOLERATED = 0.1


@dataclass
class RateLimit:
    """Additive increase, multiplicative decrease: a success allows one more call, up to `most`.

    429s and 503s halve what is allowed when they are more than a tenth of a round (as many answers as
    calls are allowed at once); with fewer than ten at once the first one does. A single one does not
    mean overload: halving at each made a run with 5 % errors take 2.7 times as long as it had to. Calls
    that were sent before a halving show the load before it; `halvings` numbers these moments.
    """

    most: int
    in_flight: int = 0
    allowed: float = 0
    halvings: int = 0
    _throttled: int = 0
    _answered: int = 0
    _queue: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.allowed = float(self.most)

    async def enter(self) -> int:
        """Wait for a place. Returns the moment, to be handed to `leave`."""
        if self._queue or self.in_flight >= int(self.allowed):
            place = asyncio.get_running_loop().create_future()
            self._queue.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.in_flight -= 1
                    self._admit()
                raise
        else:
            self.in_flight += 1
        return self.halvings

    def leave(self, moment: int, *, throttled: bool, answered: bool) -> None:
        """Give the place back and learn from how the call ended."""
        self.in_flight -= 1
        if throttled and moment == self.halvings:
            self._throttled += 1
            if self._throttled > TOLERATED * self.allowed:
                self.allowed = max(1.0, self.allowed / 2)
                self.halvings += 1
                self._throttled = self._answered = 0
        elif answered:
            self.allowed = min(float(self.most), self.allowed + 1)
            self._answered += 1
            if self._answered >= self.allowed:
                self._throttled = self._answered = 0
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.in_flight < int(self.allowed):
            place = self._queue.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)


def wait_before(attempt: int, *, asked: float | None) -> float:
    """Seconds to wait after try number `attempt` (from 1): twice as long each time, with jitter.

    `asked` is the API's minimum; the wait is a little longer, so that calls with the same minimum
    do not come back together.
    """
    own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1)
    if asked is None:
        return own
    return asked + min(own, asked * JITTER + FIRST_WAIT * random.random())
