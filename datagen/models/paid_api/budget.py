"""The budget: the worst case of a call is reserved before it is sent, the true cost settled after.

spent + reserved never exceeds the limit, so the limit holds for any number of calls in flight, as long as no call
costs more than its worst case. One event loop at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from trainer.contract.command.errors import BudgetSpent


@dataclass
class Budget:
    """`limit` None: only counted. `uncertain` is the part of `spent` that no answer confirmed."""

    limit: Decimal | None
    spent: Decimal = Decimal(0)
    uncertain: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    _queue: deque[tuple[Decimal, asyncio.Future[None]]] = field(default_factory=deque)

    async def reserve(self, worst: Decimal) -> None:
        """Wait until `worst` fits beside what is in flight, then hold it.

        Raises BudgetSpent when it would not fit with nothing in flight.
        """
        self._refuse_over_limit(worst)
        if not self._queue and self._fits(worst):
            self.reserved += worst
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((worst, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.reserved -= worst
            self._admit()
            raise

    def settle(self, worst: Decimal, cost: Decimal, *, certain: bool = True) -> None:
        """Give back a reservation; `cost` is what the call came to."""
        self.reserved -= worst
        self.spent += cost
        if not certain:
            self.uncertain += cost
        self._admit()

    def correct(self, counted: Decimal, charged: Decimal) -> None:
        """Book `charged` for calls that were counted, without a confirmation, as `counted`."""
        self.spent -= counted - charged
        self.uncertain -= counted
        self._admit()

    def _admit(self) -> None:
        """Admit waiting calls in their order, as far as the budget allows."""
        while self._queue:
            worst, turn = self._queue[0]
            if turn.done():
                self._queue.popleft()
                continue
            try:
                self._refuse_over_limit(worst)
            except BudgetSpent as fault:
                self._queue.popleft()
                turn.set_exception(fault)
                continue
            if not self._fits(worst):
                return
            self._queue.popleft()
            self.reserved += worst
            turn.set_result(None)

    def _fits(self, worst: Decimal) -> bool:
        return self.limit is None or self.spent + self.reserved + worst <= self.limit

    def _refuse_over_limit(self, worst: Decimal) -> None:
        if self.limit is not None and self.spent + worst > self.limit:
            lost = f" (${self.uncertain:.4f} of it for lost calls)" if self.uncertain else ""
            enough = self.spent - self.uncertain + worst <= self.limit
            raise BudgetSpent(
                f"${self.spent:.4f} of ${self.limit} is spent{lost}, and the next call may cost"
                f" ${worst:.4f}",
                "run the same command again: lost calls count for less once OpenRouter has reported their cost"
                if enough
                else "run the same command with a higher --max-cost: answers already paid for are kept",
            )
