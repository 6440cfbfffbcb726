"""What was charged, to compare with what a client believes. Money is Decimal, in USD."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock


@dataclass(frozen=True)
class Charge:
    generation: str
    session: str | None
    model: str
    provider: str
    cost: Decimal
    time: float  # on the monotonic clock
    delivered: bool  # False: charged, and the client never saw an answer


@dataclass
class Bill:
    """`credits`: the account's balance; `key_limit`: the key's own cap, None for none.

    `elsewhere`: what the same key was charged for other work. `lag`: seconds until a charge shows in the key's usage.
    """

    credits: Decimal = Decimal(1000)
    key_limit: Decimal | None = None
    elsewhere: Decimal = Decimal(0)
    lag: float = 0.0
    charges: list[Charge] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def charge(self, charge: Charge) -> None:
        with self._lock:
            self.charges.append(charge)

    @property
    def total(self) -> Decimal:
        with self._lock:
            return sum((charge.cost for charge in self.charges), Decimal(0))

    @property
    def usage(self) -> Decimal:
        """What the key's usage shows by now."""
        shown = time.monotonic() - self.lag
        with self._lock:
            return sum((c.cost for c in self.charges if c.time <= shown), self.elsewhere)

    @property
    def undelivered(self) -> Decimal:
        with self._lock:
            return sum((c.cost for c in self.charges if not c.delivered), Decimal(0))

    @property
    def key_remaining(self) -> Decimal | None:
        return None if self.key_limit is None else self.key_limit - self.total

    def refusal(self) -> tuple[str, str] | None:
        """(message, limit_source) when there is no money behind a call."""
        if self.credits - self.total <= 0:
            return "Insufficient credits", "openrouter_credits"
        if self.key_remaining is not None and self.key_remaining <= 0:
            return "Key limit exceeded (total limit)", "openrouter_key_limit"
        return None
