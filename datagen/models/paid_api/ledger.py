"""The ledger of paid calls: what was about to be sent, and what came of it. JSONL, append-only.

A line is on disk before the coroutine that adds it continues, so an intent is there before its call is
sent. What a crash leaves is a torn last line, which is cut, and intents without an outcome: calls that
were in flight and may have been charged. Nothing else may be wrong with a ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from datagen.models.protocol import Reply
from trainer.contract.command.crash_safe_files import append, open_locked
from trainer.contract.command.errors import BadData, Fault, NotFound, is_no_space, no_space

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

VERSION = 1
Ending = Literal["answered", "failed", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request: `key` stands for all that changes its answer, `attempt` counts its tries from 1."""

    key: str
    session: str
    turn: int
    model: str
    attempt: int
    worst: Decimal


@dataclass(frozen=True, kw_only=True)
class KeyUsage:
    """What an API key had been charged in all, in USD, at some moment; `key` is the API's label for it."""

    key: str
    amount: Decimal


@dataclass
class Ledger:
    """What the lines come to; made by `open_ledger` and `read_ledger`.

    `spent` and `uncertain` in USD: a call without a known outcome counts at its worst case, in both.
    `in_flight` are the calls whose end no line records. In memory is a position for each answer,
    not its text.

    `usage` is where the key stood when counting began; since then the calls with a known outcome came to `known`,
    and those without one count for `lost`. `unfinished` calls of this process have no outcome yet.
    """

    path: Path
    spent: Decimal = Decimal(0)
    uncertain: Decimal = Decimal(0)
    in_flight: dict[int, Call] = field(default_factory=dict)
    calls: int = 0
    size: int = 0
    usage: KeyUsage | None = None
    known: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)
    unfinished: int = 0
    _usage_written: bool = True
    _positions: dict[bytes, int] = field(default_factory=dict)
    _writer: _Writer | None = None

    def answer(self, key: str) -> Reply | None:
        """The recorded answer to a call; None when it was never answered."""
        at = self._positions.get(bytes.fromhex(key))
        if at is None:
            return None
        with self.path.open("rb") as file:
            file.seek(at)
            reply: dict[str, Any] = json.loads(file.readline())["reply"]
        return Reply(**reply | {"cost": _amount(reply["cost"])})

    async def intend(self, call: Call) -> int:
        """Record that `call` is about to be sent; returns its number."""
        self.calls += 1
        number = self.calls
        line: dict[str, Any] = {"stage": "intent", "call": number, **vars(call)}
        if not self._usage_written and self.usage is not None:
            line["usage"] = vars(self.usage)
            self._usage_written = True
        self.unfinished += 1
        await self._append(line)
        return number

    async def conclude(
        self,
        number: int,
        call: Call,
        ending: Ending,
        *,
        cost: Decimal,
        reply: Reply | None = None,
        cause: str = "",
    ) -> None:
        """Record what came of call `number`; "unknown": it may have been answered and charged."""
        line: dict[str, Any] = {"stage": ending, "call": number, "cost": cost}
        if cause:
            line["cause"] = cause
        if reply is not None:
            line |= {"key": call.key, "reply": vars(reply)}
        at = await self._append(line)
        self.unfinished -= 1
        self._count(ending, cost)
        if reply is not None:
            self._positions[bytes.fromhex(call.key)] = at

    def count_from(self, usage: KeyUsage) -> None:
        """Count from here, unless calls were lost since an earlier moment with the same key."""
        if self.usage is None or self.usage.key != usage.key or not self.lost:
            self._start(usage)
            self._usage_written = False

    async def settle(self, usage: KeyUsage, cost: Decimal) -> None:
        """Record that all calls lost so far came to `cost` in all, and count from here."""
        await self._append({"stage": "settled", "cost": cost, "usage": vars(usage)})
        self._start(usage)

    def _start(self, usage: KeyUsage) -> None:
        self.usage, self.known, self.lost = usage, Decimal(0), Decimal(0)

    def _count(self, ending: str, cost: Decimal) -> None:
        if ending == "unknown":
            self.lost += cost
        else:
            self.known += cost

    async def _append(self, line: dict[str, Any]) -> int:
        """Write a line and return its position."""
        assert self._writer is not None, "a ledger that was opened to read"
        text = json.dumps({"v": VERSION, **line}, ensure_ascii=False, default=str)
        block = text.encode(errors="backslashreplace") + b"\n"
        at, self.size = self.size, self.size + len(block)
        await self._writer.write(block)
        return at

    def take(self, line: bytes, at: int) -> None:
        """Add one line, found at position `at`, to the totals. Raises ValueError, KeyError or TypeError."""
        found = json.loads(line)
        if found["v"] != VERSION:
            raise ValueError(f"unknown version {found['v']}: this datagen reads version {VERSION}")
        if found["stage"] == "settled":
            self._take_settled(Decimal(found["cost"]), _usage(found["usage"]))
            return
        number = found["call"]
        self.calls = max(self.calls, number)
        if found["stage"] == "intent":
            if "usage" in found:
                self.count_in_flight()
                self._start(_usage(found["usage"]))
            facts = {name: found[name] for name in Call.__dataclass_fields__}
            self.in_flight[number] = Call(**facts | {"worst": Decimal(found["worst"])})
            return
        del self.in_flight[number]
        cost = Decimal(found["cost"])
        self.spent += cost
        self._count(found["stage"], cost)
        if found["stage"] == "unknown":
            self.uncertain += cost
        if "reply" in found:
            self._positions[bytes.fromhex(found["key"])] = at

    def _take_settled(self, cost: Decimal, usage: KeyUsage) -> None:
        self.spent += cost - self.lost
        self.uncertain -= self.lost
        self.in_flight.clear()
        self._start(usage)

    def count_in_flight(self) -> None:
        """Count the calls in flight as lost: the process that sent them has ended."""
        worst = sum((call.worst for call in self.in_flight.values()), Decimal(0))
        self.spent += worst
        self.uncertain += worst
        self.lost += worst
        self.in_flight.clear()


def _usage(facts: dict[str, str]) -> KeyUsage:
    return KeyUsage(key=str(facts["key"]), amount=Decimal(facts["amount"]))


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open a ledger to append to it, with a lock; create it if it is missing.

    One that was made and has no line when an error ends it is taken away, its new folders too.
    Raises Locked when another process has it, BadData naming an invalid line.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    with open_locked(path) as file:
        ledger = _read(path)
        file.truncate(ledger.size)
        in_flight = {**ledger.in_flight}
        ledger.count_in_flight()
        ledger.in_flight = in_flight
        with ThreadPoolExecutor(1, "ledger") as thread:
            ledger._writer = _Writer(file, path, thread)  # noqa: SLF001 - this is its constructor
            try:
                yield ledger
            except BaseException:
                if path in missing and not ledger.size:
                    _take_away(missing)
                raise


def read_ledger(path: Path) -> Ledger:
    """Read a ledger to replay it. Raises NotFound, BadData."""
    if path.is_dir():
        raise NotFound(f"{path} is a folder", "give the file in it, such as calls.jsonl")
    if not path.is_file():
        raise NotFound(f"{path}: no such file", "give the calls.jsonl of an earlier run")
    return _read(path)


def _read(path: Path) -> Ledger:
    """Read the whole lines; `size` is where they end."""
    ledger = Ledger(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                ledger.take(line, ledger.size)
            except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError):
                raise BadData(
                    f"{path}:{number}: not a ledger line",
                    "the ledger records what was paid for: restore the file, or start in another folder",
                ) from None
            ledger.size += len(line)
    return ledger


def _take_away(made: list[Path]) -> None:
    """Remove a file and the folders around it, innermost first, up to one that holds something else."""
    with contextlib.suppress(OSError):
        made[0].unlink()
        for folder in made[1:]:
            folder.rmdir()


@dataclass
class _Writer:
    """Appends blocks; those that come while others are being written share the next fsync.

    In a separate thread: the loop's other threads may all be waiting for sandboxes.
    """

    file: FileIO
    path: Path
    thread: ThreadPoolExecutor
    broken: Fault | None = None
    _blocks: list[bytes] = field(default_factory=list)
    _done: asyncio.Future[None] | None = None
    _task: asyncio.Task[None] | None = None

    async def write(self, block: bytes) -> None:
        """Return when `block` is on disk. Raises NoSpace, or a Fault for another failure of it."""
        if self.broken:
            raise self.broken
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        self._blocks.append(block)
        done = self._done
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        # One who is cancelled while waiting must not cancel it for the others.
        await asyncio.shield(done)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._done is not None:
            done, blocks = self._done, b"".join(self._blocks)
            self._done, self._blocks = None, []
            try:
                if self.broken:
                    raise self.broken
                await loop.run_in_executor(self.thread, self._put, blocks)
            except Fault as fault:
                self.broken = fault
                done.set_exception(fault)
                done.exception()  # the caller may have been cancelled
            else:
                done.set_result(None)
        self._task = None

    def _put(self, blocks: bytes) -> None:
        """Write and fsync, or leave the file as it was."""
        try:
            append(self.file, blocks)
        except OSError as error:
            if is_no_space(error):
                raise no_space(error) from error
            raise Fault(
                f"{self.path}: cannot be written: {error}", "fix that, then run the same command"
            ) from error
