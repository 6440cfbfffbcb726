"""Ask OpenRouter what lost calls cost: calls whose connection ended before their answer came.

Each counts at its highest possible cost until then. What the key was charged since counting began, less the calls
whose cost is known, is what the lost ones came to; unless the key was also used elsewhere, which shows when this is
more than they can have cost.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from datagen.models.paid_api.catalogue import look_up_key
from trainer.contract.command.errors import Fault

if TYPE_CHECKING:
    from datagen.models.paid_api.budget import Budget
    from datagen.models.paid_api.client import Client
    from datagen.models.paid_api.ledger import KeyUsage, Ledger

# A provider may work on a call after its connection was lost, and is charged for later.
SETTLE_SECONDS = 5.0
MOST_SECONDS = 30.0
POLL_SECONDS = 1.0
DIGITS = Decimal("1e-10")  # the API's sums are binary fractions


async def settle_lost_calls(client: Client, ledger: Ledger, budget: Budget) -> str | None:
    """Book what the lost calls were charged; return a line about it, None where there is nothing to ask or book.

    Does nothing while calls of this process have no outcome.
    """
    before, counted = ledger.usage, ledger.lost
    if before is None or not counted or ledger.unfinished:
        return None
    try:
        usage = await _steady_usage(client, before, ledger.known)
    except Fault as fault:
        return f"lost calls count as ${counted:.4f}, their highest possible cost: {fault.cause}"
    charged = (usage.amount - before.amount - ledger.known).quantize(DIGITS)
    if usage.key != before.key or not 0 <= charged <= counted:
        return (
            f"lost calls count as ${counted:.4f}, their highest possible cost: the key's usage changed by"
            f" ${usage.amount - before.amount:.4f}, calls with a known cost came to ${ledger.known:.4f}"
        )
    await ledger.settle(usage, charged)
    budget.correct(counted, charged)
    return f"OpenRouter charged ${charged:.4f} for lost calls (counted as ${counted:.4f} before)"


async def _steady_usage(client: Client, before: KeyUsage, known: Decimal) -> KeyUsage:
    """The key's usage, once it no longer changes and has the calls whose cost is known."""
    clock = asyncio.get_running_loop().time
    began, last = clock(), before
    await asyncio.sleep(SETTLE_SECONDS)
    while True:
        found = (await asyncio.to_thread(look_up_key, client)).usage or before
        caught_up = found.amount - before.amount + DIGITS >= known
        if (found == last and caught_up) or clock() - began > MOST_SECONDS:
            return found
        last = found
        await asyncio.sleep(POLL_SECONDS)
