"""The schedule of calls and cells alone, on a clock that only waiting moves: wall time over ideal.

`test_teacher.py` measures the whole client in real time, where the processor counts too.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal

import pytest

from datagen.episode import Episode, Message, Question, TableRef
from datagen.episodes import agent
from datagen.episodes.agent import CELL_THREADS
from datagen.episodes.attempts import AttemptRules, Solver, Task
from datagen.episodes.run_questions import fill_journal
from datagen.models.paid_api.account import OPEN_PER_CALL
from datagen.models.paid_api.budget import Budget
from datagen.models.paid_api.errors import Failure
from datagen.models.paid_api.model import PaidModel
from datagen.models.paid_api.prices import Price
from datagen.models.paid_api.rate_limit import RateLimit
from datagen.models.paid_api.settings import TeacherSettings
from datagen.models.paid_api.status import CallCounts
from datagen.models.protocol import Reply
from datagen.prompts.render import as_reply
from datagen.sandbox import CellResult

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
        self.ended = 0.0
        self.chance = random.Random(0)

    async def ask(self, body, price):
        drawn = self.chance.random()
        if drawn < self.share:
            return Failure(kind="retry", cause="", throttled=drawn < self.share / 2)
        await asyncio.sleep(1)
        self.ended = asyncio.get_running_loop().time()
        return Reply(text=as_reply("submit(8)"), cost=Decimal(0), finish_reason="stop")


def paid_model(share: float) -> PaidModel:
    return PaidModel(
        name="m",
        settings=TeacherSettings(concurrency=AT_ONCE),
        ledger=NoLedger(),  # type: ignore[arg-type]
        budget=Budget(limit=Decimal(1000)),
        rate_limit=RateLimit(most=AT_ONCE),
        tally=CallCounts(),
        price=Price(prompt=Decimal("1e-7"), completion=Decimal("1e-7")),
        client=Endpoint(share),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_schedule(share):
    model = paid_model(share)
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


CELL, SLOW_CELL, SLOW_SHARE = 0.005, 5.0, 0.001


class Cells:
    """A sandbox whose cells take time on the clock alone; one in a thousand reaches a time limit."""

    level = "full"

    def __init__(self) -> None:
        self.chance = random.Random(1)
        self.busy = self.last = 0.0

    @contextmanager
    def episode(self, seed=0):
        yield self

    def run(self, code):
        self.last = SLOW_CELL if self.chance.random() < SLOW_SHARE else CELL
        self.busy += self.last
        return CellResult(ok=True, submitted=True, answer=8)

    @asynccontextmanager
    async def sandbox_for(self, task):
        yield self

    async def close(self):
        pass


class Inline(ThreadPoolExecutor):
    """Runs what it is given at once, as if it took no time."""

    def submit(self, work, /, *given, **named):
        done: Future[object] = Future()
        done.set_result(work(*given, **named))
        return done


class ClockThreads:
    """So many threads on the loop's clock: each is taken for as long as its cell says."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cells: Cells) -> None:
        self.loop, self.cells, self.free = loop, cells, CELL_THREADS
        self.waiting: deque[tuple[Future[object], Callable[[], object]]] = deque()

    def submit(self, work, *given):
        done: Future[object] = Future()
        self.waiting.append((done, lambda: work(*given)))
        self.next()
        return done

    def next(self):
        while self.free and self.waiting:
            self.free -= 1
            done, work = self.waiting.popleft()
            self.cells.last = 0.0
            result = work()
            self.loop.call_later(self.cells.last, self.end, done, result)

    def end(self, done, result):
        self.free += 1
        done.set_result(result)
        self.next()


class Finished(dict[str, Episode]):
    def append(self, episodes):
        self.update((episode.id, episode) for episode in episodes)


def questions():
    table = TableRef(name="shop", path="shop.csv", sha256="0" * 64, rows=8, columns=[])
    for number in range(CALLS):
        question = Question(
            id=f"q{number}",
            text=f"How many rows? ({number})",
            answer_type="integer",
            source="template",
            family="f",
            difficulty="easy",
            truth=8,
        )
        yield Task(question=question, tables=[table], paths=[], style="brief")


@pytest.mark.parametrize(
    ("name", "per_call"), [("as many questions as calls", 1), ("twice as many", OPEN_PER_CALL)]
)
def test_calls_go_on_while_cells_run(name, per_call, monkeypatch):
    """The cells fit into the calls' time, but a slow one holds a thread: until then each held a question's place."""
    solver = Solver(
        model=paid_model(0.0), rules=AttemptRules(seed=0), concurrency=per_call * AT_ONCE
    )
    cells, journal = Cells(), Finished()

    async def run() -> float:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Inline())
        monkeypatch.setattr(agent, "CELLS", ClockThreads(loop, cells))
        await fill_journal(journal, questions(), solver, servers=cells)  # type: ignore[arg-type]
        return loop.time()

    with asyncio.Runner(loop_factory=WaitingClock) as runner:
        seconds = runner.run(run())
    assert len(journal) == CALLS
    ended = solver.model.client.ended  # type: ignore[attr-defined]
    ideal = CALLS / AT_ONCE
    print(
        f"\n{name} at once: the last of {CALLS:,} calls of 1 s, {AT_ONCE} at once, ended after {ended:.2f} s:"
        f" {ended / ideal:.3f} of ideal; the last cell after {seconds:.2f} s;"
        f" {cells.busy:.0f} s of cells in {CELL_THREADS} threads"
    )
