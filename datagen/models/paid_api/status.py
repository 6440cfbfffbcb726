"""The state of paid calls, for a live view. Money in USD."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import Decimal

WINDOW = 60.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """`spent` is what the whole ledger comes to.

    `uncertain` is the part of `spent` that no answer confirmed: calls that were cut off count at their
    worst case. `reserved` is the worst case of what is in flight. `replayed` answers came from the
    ledger; `waiting` calls are queued or wait to be tried again.
    """

    answered: int
    replayed: int
    retries: int
    in_flight: int
    waiting: int
    spent: Decimal
    uncertain: Decimal
    reserved: Decimal
    limit: Decimal | None
    per_minute: float

    def projected(self, done: int, total: int) -> Decimal | None:
        """What `total` episodes will come to when `done` of them came to what is spent now."""
        return self.spent * total / done if done else None


@dataclass
class CallCounts:
    """Counts for one model; `ends` are the moments of its last answers, on the monotonic clock.

    `usable` replies have a finished text; `unusable` counts the calls that ended without one. `lost` counts by cause
    the calls that ended without an outcome, and may have been charged.
    """

    answered: int = 0
    replayed: int = 0
    usable: int = 0
    unusable: int = 0
    retries: int = 0
    throttled: int = 0
    in_flight: int = 0
    asked: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=100_000))

    def answer(self) -> None:
        self.answered += 1
        self.ends.append(time.monotonic())

    def per_minute(self, since: float) -> float:
        """Answers per minute over the last minute, or since the start where that is later."""
        now = time.monotonic()
        while self.ends and self.ends[0] < now - WINDOW:
            self.ends.popleft()
        return len(self.ends) * 60 / max(1.0, min(WINDOW, now - since))
