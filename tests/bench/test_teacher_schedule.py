"""The schedule of calls alone, on a clock that only waiting moves: wall time over ideal.

`test_teacher.py` measures the whole client in real time, where the processor counts too.
"""

import asyncio
import random
from decimal import Decimal

import pytest

from datagen.episode import Message
from datagen.models.paid_api.budget import Budget
from datagen.models.paid_api.errors import Failure
from datagen.models.paid_api.model import PaidModel
from datagen.models.paid_api.prices import Price
from datagen.models.paid_api.rate_limit import RateLimit
from datagen.models.paid_api.settings import TeacherSettings
from datagen.models.paid_api.status import CallCounts
from datagen.models.protocol import Reply

pytestmark = pytest.mark.bench
CALLS = 10_000
AT_ONCE = 500


class WaitingClock(asyncio.SelectorEventLoop):
    """A loop in which waiting takes no time and everything else none on its clock."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        select = self._selector.select  # type: ignore[attr-defined]

        def skip(timeout: float | None = None) -> object:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now


class NoLedger:
    path = "nowhere"

    def answer(self, key):
        return None

    async def intend(self, call):
        return 1

    async def conclude(self, *args, **kwargs):
        pass


class Endpoint:
    """One second an answer; of the rest half is throttled, half broken, and both at once."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.chance = random.Random(0)

    async def ask(self, body, price):
        drawn = self.chance.random()
        if drawn < self.share:
            return Failure(kind="retry", cause="", throttled=drawn < self.share / 2)
        await asyncio.sleep(1)
        return Reply(text="x", cost=Decimal(0), finish_reason="stop")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_schedule(share):
    settings = TeacherSettings(concurrency=AT_ONCE)
    model = PaidModel(
        name="m",
        settings=settings,
        ledger=NoLedger(),  # type: ignore[arg-type]
        budget=Budget(limit=Decimal(1000)),
        rate_limit=RateLimit(most=AT_ONCE),
        tally=CallCounts(),
        price=Price(prompt=Decimal("1e-7"), completion=Decimal("1e-7")),
        client=Endpoint(share),  # type: ignore[arg-type]
    )
    messages = [Message(role="user", content="?")]

    async def run() -> float:
        await asyncio.gather(*(model.reply(messages, session=str(n)) for n in range(CALLS)))
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=WaitingClock) as runner:
        seconds = runner.run(run())
    ideal = CALLS / AT_ONCE
    print(
        f"\n{share:.0%} errors: {seconds:.2f} s for {CALLS:,} calls of 1 s, {AT_ONCE} at once:"
        f" {seconds / ideal:.3f} of ideal; {model.tally.throttled} throttled, then"
        f" {int(model.rate_limit.allowed)} allowed"
    )
