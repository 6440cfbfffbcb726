"""Calls with 1 s latency and 5 % errors, 500 in flight: wall time over ideal, ledger and budget on."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest

from datagen.episode import Message
from datagen.models.paid_api.account import open_account
from datagen.models.paid_api.settings import TeacherSettings
from tests.openrouter.server import KEY

pytestmark = pytest.mark.bench
CALLS = 10_000
AT_ONCE = 500
LATENCY = 1.0
SHARES = (
    (0.025, {"kind": "status", "status": 429}),
    (0.0125, {"kind": "status", "status": 500}),
    (0.0125, {"kind": "status", "status": 502}),
)


def test_500_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    shares = [f"--share={share}={json.dumps(mishap)}" for share, mishap in SHARES]
    command = [sys.executable, "-m", "tests.openrouter", f"--latency={LATENCY}", *shares]
    fake = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert fake.stdout is not None
        url = fake.stdout.readline().split("=", 1)[1].strip()
        _measure(CALLS, url, tmp_path / "calls.jsonl")
    finally:
        fake.terminate()
        fake.communicate()


def _measure(calls: int, url: str, ledger: Path) -> None:
    settings = TeacherSettings(
        base_url=url, openrouter=True, concurrency=AT_ONCE, max_cost=Decimal(100)
    )
    with open_account(settings, ledger=ledger) as account:

        async def ask() -> float:
            async with account.connected():
                started = time.perf_counter()
                await asyncio.gather(
                    *(
                        account.teacher.reply(
                            [
                                Message(role="system", content="Use pandas. " * 150),
                                Message(role="user", content=f"Question {n}. " * 40),
                            ],
                            session=str(n),
                        )
                        for n in range(calls)
                    )
                )
                return time.perf_counter() - started

        cpu = time.process_time()
        seconds = asyncio.run(ask())
        cpu = time.process_time() - cpu
        after = _bill(url)
        assert account.status().spent == Decimal(after["total"])
    ideal = calls * LATENCY / AT_ONCE
    print(
        f"\n{calls:,} calls of {LATENCY} s, {AT_ONCE} at once, {int(after['asked']) - calls} failed:"
        f" {seconds:.1f} s, {seconds / ideal:.2f} of ideal; most at once {after['most_at_once']};"
        f" client {1000 * cpu / calls:.2f} ms of processor time a call,"
        f" {cpu / seconds:.2f} of a core"
    )


def _bill(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url.replace("/api/v1", "/_fake/bill")) as answer:
        found: dict[str, str] = json.load(answer)
        return found
