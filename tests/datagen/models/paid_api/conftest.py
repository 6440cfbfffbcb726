"""A fake OpenRouter, settings that point at it, and the quick way to ask."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from datagen.episode import Message
from datagen.models.paid_api import lost_calls, rate_limit
from datagen.models.paid_api.account import Account, open_account
from datagen.models.paid_api.settings import TeacherSettings
from datagen.models.protocol import NoReply, Reply
from tests.openrouter.server import KEY, OpenRouter


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty project of a user with nothing set up but the key; waits are short."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(rate_limit, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(lost_calls, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(lost_calls, "POLL_SECONDS", 0.05)


@pytest.fixture
def fake():
    with OpenRouter() as server:
        yield server


@pytest.fixture
def settings(fake: OpenRouter) -> Callable[..., TeacherSettings]:
    def make(**changes: Any) -> TeacherSettings:
        plain: dict[str, Any] = {
            "base_url": fake.url,
            "openrouter": True,
            "max_tokens": 1000,
            "timeout": 5.0,
            "max_cost": Decimal(1),
        }
        return TeacherSettings(**plain | changes)

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "out" / "calls.jsonl"


def question(text: str = "how many rows?") -> list[Message]:
    return [Message(role="system", content="Use pandas."), Message(role="user", content=text)]


async def ask(account: Account, *sessions: str) -> list[Reply | BaseException]:
    """One reply a session, all at once; what was raised in its place."""
    async with account.connected():
        return await asyncio.gather(
            *(account.teacher.reply(question(), session=session) for session in sessions),
            return_exceptions=True,
        )


def asked(settings: TeacherSettings, ledger: Path, *sessions: str) -> list[Any]:
    with open_account(settings, ledger=ledger) as account:
        return asyncio.run(ask(account, *sessions))


def kind(found: object) -> str:
    return found.kind if isinstance(found, NoReply) else type(found).__name__
