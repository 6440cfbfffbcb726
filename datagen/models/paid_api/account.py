"""Everything that paid calls share: settings, ledger, budget, connections; and the models that answer.

with open_account(settings, ledger=folder / "calls.jsonl") as account:
    async with account.connected():
        await account.teacher.reply(messages, session="...")
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datagen.models.paid_api import request
from datagen.models.paid_api.budget import Budget
from datagen.models.paid_api.catalogue import Offer, check_key, find_offers, look_up_key
from datagen.models.paid_api.client import Client
from datagen.models.paid_api.ledger import Ledger, open_ledger, read_ledger
from datagen.models.paid_api.lost_calls import settle_lost_calls
from datagen.models.paid_api.model import PaidModel
from datagen.models.paid_api.rate_limit import RateLimit
from datagen.models.paid_api.settings import TeacherSettings, variable
from datagen.models.paid_api.status import CallCounts, Status
from trainer.contract.command.errors import TeacherRefused
from trainer.contract.command.secrets import Secret, find

if TYPE_CHECKING:
    from pathlib import Path

# Licences that put no condition on training with outputs; others have to be stated.
LICENCES = {"openai/gpt-oss-120b": "Apache-2.0", "openai/gpt-oss-20b": "Apache-2.0"}
NOT_STATED = "not stated"
DRAIN_SECONDS = 3.0
OPEN_PER_CALL = 2


@dataclass(kw_only=True)
class Account:
    """Made by `open_account`. `notices` are lines that a person should read before money is spent.

    `settled` reports what became of lost calls, after their cost was looked up.
    """

    settings: TeacherSettings
    ledger: Ledger
    budget: Budget
    models: dict[str, PaidModel]
    client: Client | None = None
    notices: list[str] = field(default_factory=list)
    settled: str | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def teacher(self) -> PaidModel:
        return self.models[self.settings.teacher_model]

    @property
    def question_gen(self) -> PaidModel:
        return self.models[self.settings.question_gen_model or self.settings.teacher_model]

    @property
    def audit(self) -> PaidModel | None:
        name = self.settings.audit_model
        return self.models[name] if name else None

    @property
    def open_questions(self) -> int:
        """How many questions to work on at once: while the code of some runs, as many others have a call in flight."""
        return OPEN_PER_CALL * self.settings.concurrency

    @property
    def sampling(self) -> dict[str, Any]:
        """The parameters sent to the models with the messages, for an episode's provenance."""
        return request.sampling(self.settings)

    def licence(self, model: str) -> str:
        """The licence of a model's weights, as far as it is known or was stated."""
        if model == self.settings.teacher_model and self.settings.teacher_licence:
            return self.settings.teacher_licence
        return LICENCES.get(model, NOT_STATED)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Models answer inside, in the running event loop; may be entered again in a later one.

        Leaving, however, waits for the calls that have been sent, so that their answers are recorded;
        calls that have not are dropped. One who is cancelled (Ctrl-C) waits `DRAIN_SECONDS` for them:
        those without an answer by then stay in flight in the ledger, at their worst case. Otherwise the cost of
        lost calls is looked up.
        """
        if self.client is None:
            yield
            return
        async with self.client.connected():
            interrupted = False
            try:
                yield
            except asyncio.CancelledError:
                interrupted = True
                await self._drain(DRAIN_SECONDS)
                raise
            finally:
                await self._drain()
                if not interrupted:
                    told = await settle_lost_calls(self.client, self.ledger, self.budget)
                    self.settled = told or self.settled

    async def _drain(self, seconds: float | None = None) -> None:
        for model in self.models.values():
            for asking in model.in_flight.values():
                asking.withdrawn = True
                if not asking.sent:
                    asking.task.cancel()
        tasks = [a.task for model in self.models.values() for a in model.in_flight.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def lost(self) -> Counter[str]:
        """How many calls were lost, by cause."""
        return sum((model.tally.lost for model in self.models.values()), Counter())

    def status(self) -> Status:
        """Where things stand; cheap."""
        models = self.models.values()
        return Status(
            answered=sum(m.tally.answered for m in models),
            replayed=sum(m.tally.replayed for m in models),
            retries=sum(m.tally.retries for m in models),
            in_flight=sum(m.tally.in_flight for m in models),
            waiting=sum(m.tally.asked - m.tally.in_flight for m in models),
            spent=self.budget.spent,
            uncertain=self.budget.uncertain,
            reserved=self.budget.reserved,
            limit=self.budget.limit,
            per_minute=sum(m.tally.per_minute(self._began) for m in models),
        )


@contextmanager
def open_account(settings: TeacherSettings, *, ledger: Path) -> Iterator[Account]:
    """Open the ledger, find key and prices, and check that the key is good for it.

    Raises TeacherRefused, TeacherUnavailable, BudgetSpent, BadJob (no price for a model), Locked and
    BadData (the ledger).
    """
    client = Client(
        base_url=settings.base_url,
        secret=_secret(settings),
        timeout=settings.timeout,
        connections=settings.concurrency * len(settings.models()),
    )
    with open_ledger(ledger) as lines:
        budget = Budget(limit=settings.budget, spent=lines.spent, uncertain=lines.uncertain)
        notices = [*_ledger_notices(lines), *_settings_notices(settings)]
        if settings.at_openrouter:
            key = look_up_key(client)
            notices += check_key(key, budget)
            if key.usage is not None:
                lines.count_from(key.usage)
        offers = find_offers(client, settings)
        yield _account(settings, lines, budget, offers, client=client, notices=notices)


@contextmanager
def replay_account(settings: TeacherSettings, *, recording: Path) -> Iterator[Account]:
    """The recorded teacher: the same models, answering only from a ledger; no key, no network.

    Raises NotFound, BadData (the ledger).
    """
    lines = read_ledger(recording)
    yield _account(settings, lines, Budget(limit=None), {}, client=None, notices=[])


def _account(
    settings: TeacherSettings,
    ledger: Ledger,
    budget: Budget,
    offers: dict[str, Offer],
    *,
    client: Client | None,
    notices: list[str],
) -> Account:
    models = {}
    for name in settings.models():
        offer = offers.get(name, Offer())
        models[name] = PaidModel(
            name=name,
            settings=settings,
            ledger=ledger,
            budget=budget,
            rate_limit=RateLimit(most=settings.concurrency),
            tally=CallCounts(),
            price=offer.price,
            quantizations=offer.quantizations,
            client=client,
        )
    return Account(
        settings=settings,
        ledger=ledger,
        budget=budget,
        models=models,
        client=client,
        notices=notices,
    )


def _secret(settings: TeacherSettings) -> Secret | None:
    name = settings.secret_name
    if name is None:
        return None
    if (found := find(name, variable)) is None:
        raise TeacherRefused(
            f"no key for {settings.base_url}", f"export {name}=..., or write it to .env here"
        )
    return found


def _ledger_notices(ledger: Ledger) -> Iterator[str]:
    if ledger.in_flight:
        worst = sum(call.worst for call in ledger.in_flight.values())
        yield (
            f"{len(ledger.in_flight)} calls were in flight when an earlier run ended: they count as"
            f" ${worst:.4f}, their highest possible cost, and will be sent again"
        )


def _settings_notices(settings: TeacherSettings) -> Iterator[str]:
    if settings.at_openrouter and not settings.enforce_distillable:
        yield (
            "WARNING: enforce_distillable is off: this permits models that forbid"
            " training on their outputs; read the model's terms before you train on this data"
        )
