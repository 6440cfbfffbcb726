"""A model of an API: answers from the ledger if recorded, else calls, retries and records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from datagen.models.paid_api import request
from datagen.models.paid_api.errors import Failure
from datagen.models.paid_api.ledger import Call, Ending
from datagen.models.paid_api.rate_limit import wait_before
from datagen.models.protocol import NoReply, NoReplyKind, Reply
from trainer.contract.command.errors import (
    BudgetSpent,
    NotRecorded,
    TeacherRefused,
    TeacherUnavailable,
)

if TYPE_CHECKING:
    from datagen.episode import Message
    from datagen.models.paid_api.budget import Budget
    from datagen.models.paid_api.client import Client
    from datagen.models.paid_api.ledger import Ledger
    from datagen.models.paid_api.prices import Price
    from datagen.models.paid_api.rate_limit import RateLimit
    from datagen.models.paid_api.settings import TeacherSettings
    from datagen.models.paid_api.status import CallCounts

# Tries that failed for other reasons than too much to do; and how long to go on trying at all.
TRIES = 6
RETRY_SECONDS = 15 * 60.0
# With fewer calls than this, each without a usable reply, the questions may be the reason.
ALL_ALIKE = 20
HINTS: dict[NoReplyKind, str] = {
    "length": "give a higher --max-tokens, or a lower --reasoning-effort",
    "no text": "choose another --teacher-model, or give a lower --reasoning-effort",
}


@dataclass(kw_only=True)
class CallInFlight:
    """One call under way: who waits for it, and whether it can no longer be taken back."""

    call: Call
    body: Mapping[str, Any]
    listeners: int = 0
    sent: bool = False
    withdrawn: bool = False
    task: asyncio.Task[Reply] = field(init=False)


@dataclass(kw_only=True)
class PaidModel:
    """Answers through `client`; without one only what the ledger holds (the recorded teacher)."""

    name: str
    settings: TeacherSettings
    ledger: Ledger
    budget: Budget
    rate_limit: RateLimit
    tally: CallCounts
    price: Price | None = None
    client: Client | None = None
    quantizations: dict[str, str] = field(default_factory=dict)
    in_flight: dict[str, CallInFlight] = field(default_factory=dict)

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        """See `datagen.models.protocol.Model`; a call that was paid for is never sent again.

        Who is cancelled while waiting takes back what has not been sent; what has been is recorded.
        """
        try:
            return self._usable(await self._recorded_or_asked(messages, session))
        except NoReply as missing:
            self._count_unusable(missing)
            raise

    async def _recorded_or_asked(self, messages: Sequence[Message], session: str) -> Reply:
        body = request.body(self.settings, self.name, messages, session)
        key, turn = request.key(self.settings.base_url, session, body)
        if (recorded := self.ledger.answer(key)) is not None:
            self.tally.replayed += 1
            return recorded
        if self.client is None:
            raise NotRecorded(
                f"{self.ledger.path}: no recorded answer of {self.name} for turn {turn} of session {session!r}",
                "replay with the same tables, questions and settings as in the recording",
            )
        asking = self.in_flight.get(key)
        if asking is None or asking.withdrawn:
            asking = self._begin(key, session, turn, messages, body)
        asking.listeners += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.listeners -= 1
            if not asking.listeners and not asking.sent:
                asking.withdrawn = True
                asking.task.cancel()

    def _begin(
        self,
        key: str,
        session: str,
        turn: int,
        messages: Sequence[Message],
        body: dict[str, Any],
    ) -> CallInFlight:
        worst = self.price.worst(messages, self.settings.max_tokens) if self.price else Decimal(0)
        call = Call(key=key, session=session, turn=turn, model=self.name, attempt=1, worst=worst)
        if self.price and self.settings.at_openrouter:
            body = request.with_price_limit(body, self.price)
        asking = CallInFlight(call=call, body=body)
        asking.task = asyncio.create_task(self._ask(asking))
        asking.task.add_done_callback(lambda _: self._forget(asking))
        self.in_flight[key] = asking
        return asking

    def _forget(self, asking: CallInFlight) -> None:
        if self.in_flight.get(asking.call.key) is asking:
            del self.in_flight[asking.call.key]
        if not asking.task.cancelled():
            asking.task.exception()  # the caller may have been cancelled

    async def _ask(self, asking: CallInFlight) -> Reply:
        """Try until there is a reply, or it is plain that there will be none."""
        self.tally.asked += 1
        try:
            return await self._ask_until_answered(asking)
        finally:
            self.tally.asked -= 1

    async def _ask_until_answered(self, asking: CallInFlight) -> Reply:
        answered_before = self.tally.answered
        clock = asyncio.get_running_loop().time
        started, tries = clock(), 0
        while True:
            found = await self._try(asking)
            asking.sent = False
            if isinstance(found, Reply):
                return found
            if found.kind != "retry":
                self._raise_refusal(found)
            tries += not found.throttled
            wait = wait_before(asking.call.attempt, asked=found.wait)
            if tries >= TRIES or clock() + wait - started > RETRY_SECONDS:
                self._raise_unavailable(
                    found, others_answered=self.tally.answered > answered_before
                )
            if asking.withdrawn or not asking.listeners:
                raise asyncio.CancelledError
            self.tally.retries += 1
            await asyncio.sleep(wait)
            asking.call = replace(asking.call, attempt=asking.call.attempt + 1)

    async def _try(self, asking: CallInFlight) -> Reply | Failure:
        """One request: a place, its worst case reserved, its intent on disk, its outcome on disk."""
        worst = asking.call.worst
        moment = await self.rate_limit.enter()
        found: Reply | Failure | None = None
        try:
            await self.budget.reserve(worst)
            asking.sent = True
            cost, certain = worst, False
            try:
                number = await self.ledger.intend(asking.call)
                found = await self._send(asking.body)
                self.rate_limit.leave(
                    moment,
                    throttled=isinstance(found, Failure) and found.throttled,
                    answered=isinstance(found, Reply),
                )
                cost, certain = await self._record(number, asking.call, found)
            finally:
                self.budget.settle(worst, cost, certain=certain)
        finally:
            if found is None:
                self.rate_limit.leave(moment, throttled=False, answered=False)
        return found

    async def _send(self, body: Mapping[str, Any]) -> Reply | Failure:
        assert self.client is not None
        self.tally.in_flight += 1
        try:
            found = await self.client.ask(body, self.price)
        finally:
            self.tally.in_flight -= 1
        if isinstance(found, Failure):
            self.tally.throttled += found.throttled
            return found
        self.tally.answer()
        return replace(found, quantization=self.quantizations.get(found.provider or ""))

    async def _record(
        self, number: int, call: Call, found: Reply | Failure
    ) -> tuple[Decimal, bool]:
        """Record the result of a request; returns (cost, whether it is certain)."""
        known = found.cost
        if known is None and self.price is None:
            known = Decimal(0)
        cost = call.worst if known is None else known
        reply = found if isinstance(found, Reply) else None
        ending: Ending = "answered" if reply else "failed" if known is not None else "unknown"
        cause = "" if isinstance(found, Reply) else found.cause
        if ending == "unknown":
            self.tally.lost[cause] += 1
        await self.ledger.conclude(number, call, ending, cost=cost, reply=reply, cause=cause)
        return cost, known is not None

    def _raise_refusal(self, found: Failure) -> NoReturn:
        assert self.client is not None
        if found.kind == "budget":
            raise BudgetSpent(
                f"{self.name}: {found.cause}",
                "add credits or raise the key's limit, then run the same command: answers already"
                " paid for are kept",
            )
        if found.kind == "flagged" or (found.kind == "refused" and self.tally.usable):
            raise NoReply("refused", found.cause)
        if found.kind == "refused" and self.tally.asked > 1:
            # The settings may be the reason, or this question: the other calls in flight will show it.
            raise NoReply("unavailable", found.cause)
        raise TeacherRefused(f"{self.name}: {found.cause}", self.client.hint(found))

    def _raise_unavailable(self, found: Failure, *, others_answered: bool) -> NoReturn:
        if others_answered:
            raise NoReply("unavailable", found.cause)
        raise TeacherUnavailable(
            f"{self.name}: {found.cause}",
            "run the same command later: answers already paid for are kept",
        )

    def _usable(self, reply: Reply) -> Reply:
        """Return a finished reply with text; a cut one as context would teach to stop midway."""
        match reply.finish_reason:
            case "length":
                raise NoReply("length", f"cut at {reply.completion_tokens} tokens", reply=reply)
            case "content_filter":
                raise NoReply("content_filter", "cut by the provider's filter", reply=reply)
        if not reply.text:
            wrote = "tool calls" if reply.finish_reason == "tool_calls" else "thoughts"
            raise NoReply("no text", f"{wrote} and no text", reply=reply)
        self.tally.usable += 1
        return reply

    def _count_unusable(self, missing: NoReply) -> None:
        """Raise TeacherRefused once as many calls as can be in flight got no usable reply, and no call got one."""
        self.tally.unusable += 1
        if not self.tally.usable and self.tally.unusable >= max(ALL_ALIKE, self.rate_limit.most):
            raise TeacherRefused(
                f"{self.name}: none of the first {self.tally.unusable} calls got a usable reply; the last: {missing}",
                HINTS.get(missing.kind, "choose another model, or check its settings"),
            )
