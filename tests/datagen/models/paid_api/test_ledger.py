"""What was paid for is kept: cut anywhere, killed anywhere, two at once, a full disk."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from datagen.models.paid_api.account import open_account
from datagen.models.paid_api.ledger import Call, open_ledger, read_ledger
from datagen.models.protocol import Reply
from tests.datagen.models.paid_api.conftest import ask, asked, question
from tests.openrouter.mishaps import Mishap
from tests.openrouter.server import KEY
from trainer.contract.command.errors import BadData, Locked, NoSpace, NotFound

REPLY = Reply(text="Grüße\n\u2028 \ud800", cost=Decimal("0.0000012"), finish_reason="stop")
ROOT = Path(__file__).parents[4]


def call(number: int) -> Call:
    return Call(
        key=f"{number:064x}", session="s", turn=0, model="m", attempt=1, worst=Decimal("0.01")
    )


async def fill(ledger, count: int) -> None:
    """As many calls, answered one after the other."""
    for n in range(count):
        number = await ledger.intend(call(n))
        await ledger.conclude(number, call(n), "answered", cost=Decimal("0.001"), reply=REPLY)


def test_cut_at_every_byte(tmp_path, monkeypatch):
    """What is whole is kept; a call whose outcome is cut off counts at its worst case."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = tmp_path / "whole.jsonl"
    with open_ledger(path) as ledger:
        asyncio.run(fill(ledger, 2))
    content = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
    assert len(ends) == 4
    cut = tmp_path / "cut.jsonl"
    for size in range(len(content) + 1):
        cut.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        with open_ledger(cut) as ledger:
            answered, pending = whole // 2, whole % 2
            assert ledger.spent == Decimal("0.001") * answered + Decimal("0.01") * pending
            assert ledger.uncertain == Decimal("0.01") * pending
            assert len(ledger.in_flight) == pending
            assert [ledger.answer(call(n).key) is not None for n in range(2)] == [
                n < answered for n in range(2)
            ]
            if size in ends or size == ends[2] + 5:
                asyncio.run(fill(ledger, 1))
                kept = ledger.answer(call(0).key)
                assert kept is not None
                assert kept.cost == REPLY.cost
        assert cut.read_bytes().endswith(b"\n") or not whole
        read_ledger(cut)


def test_a_second_process_is_refused(tmp_path):
    path = tmp_path / "calls.jsonl"
    with open_ledger(path):
        with pytest.raises(Locked), open_ledger(path):
            pass
        read_ledger(path)  # reading is free
    with open_ledger(path):
        pass


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'{"v": 2, "stage": "intent", "call": 9}',
        b'{"v": 1, "stage": "answered", "call": 9, "cost": "1"}',
        b'{"v": 1, "stage": "intent", "call": 9}',
    ],
)
def test_a_line_that_is_none_is_named_and_nothing_is_lost(tmp_path, line):
    path = tmp_path / "calls.jsonl"
    with open_ledger(path) as ledger:
        asyncio.run(fill(ledger, 1))
    content = path.read_bytes() + line + b"\n"
    path.write_bytes(content)
    with pytest.raises(BadData, match=r"calls\.jsonl:3: not a ledger line"), open_ledger(path):
        pass
    assert path.read_bytes() == content


def test_a_recording_that_is_not_there(tmp_path):
    with pytest.raises(NotFound):
        read_ledger(tmp_path / "none.jsonl")


def test_lines_written_together_share_an_fsync(tmp_path, monkeypatch):
    syncs = []
    real = os.fsync
    with open_ledger(tmp_path / "calls.jsonl") as ledger:

        def slow(descriptor):
            time.sleep(0.02)
            syncs.append(descriptor)
            real(descriptor)

        async def all_at_once():
            await asyncio.gather(*(ledger.intend(call(n)) for n in range(100)))

        monkeypatch.setattr(os, "fsync", slow)
        asyncio.run(all_at_once())
    assert len(syncs) <= 3
    assert len(read_ledger(tmp_path / "calls.jsonl").in_flight) == 100


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_stops_the_run_before_or_after_the_call(
    fake, settings, ledger, monkeypatch, fails_at
):
    """Write 1 is the intent: nothing is sent. Write 2 is the outcome: it stays in flight."""
    writes = []
    real = os.fsync

    def full(descriptor):
        writes.append(descriptor)
        if len(writes) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with open_account(settings(), ledger=ledger) as account:
        monkeypatch.setattr(os, "fsync", full)
        (found,) = asyncio.run(ask(account, "s"))
        (after,) = asyncio.run(ask(account, "t"))
        monkeypatch.setattr(os, "fsync", real)
    assert isinstance(found, NoSpace)
    assert isinstance(after, NoSpace)
    assert fake.asked == fails_at - 1
    assert ledger.read_bytes().count(b"\n") == fails_at - 1
    with open_account(settings(), ledger=ledger) as account:
        assert account.budget.spent >= fake.bill.total
        (again,) = asyncio.run(ask(account, "s"))
    assert isinstance(again, Reply)


CLIENT = """
import asyncio, sys
from pathlib import Path
from decimal import Decimal
from datagen.episode import Message
from datagen.models.paid_api.account import open_account
from datagen.models.paid_api.settings import TeacherSettings

settings = TeacherSettings(
    base_url=sys.argv[1], openrouter=True, max_tokens=1000, timeout=5.0, max_cost=Decimal(1)
)

async def work(account):
    messages = [
        Message(role="system", content="Use pandas."), Message(role="user", content="how many rows?")
    ]
    async with account.connected():
        for n in range(1000):
            replies = [account.teacher.reply(messages, session=f"s{n}/{m}") for m in range(4)]
            await asyncio.gather(*replies)
            print(n, flush=True)

with open_account(settings, ledger=Path(sys.argv[2])) as account:
    print("ready", flush=True)
    asyncio.run(work(account))
"""


def killed_after(fake, ledger: Path, rounds: int, seconds: float) -> None:
    """Run the client in a process of its own and kill -9 it some seconds after so many rounds."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, fake.url, str(ledger)],
        cwd=ROOT,
        env=os.environ | {"OPENROUTER_API_KEY": KEY},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(rounds + 1):
        process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_kill_9_loses_no_answer_and_counts_what_was_in_flight(fake, settings, ledger):
    fake.latency = 0.05
    for rounds, seconds in ((1, 0.0), (2, 0.02), (3, 0.04)):
        killed_after(fake, ledger, rounds, seconds)
        whole = ledger.read_bytes().rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        answered = {line["key"] for line in lines if line["stage"] == "answered"}
        assert len(answered) >= 4 * rounds
    charged, calls = fake.bill.total, fake.asked
    recorded = read_ledger(ledger)
    assert len(recorded.in_flight) <= 12
    sessions = [f"s{n}/{m}" for n in range(3) for m in range(4)]
    with open_account(settings(), ledger=ledger) as account:
        assert charged <= account.budget.spent
        if recorded.in_flight:
            assert account.notices[0].startswith(f"{len(recorded.in_flight)} calls were in flight")
        replies = asyncio.run(ask(account, *sessions))
        spent = account.budget.spent
    assert all(isinstance(reply, Reply) for reply in replies)
    assert fake.bill.total <= spent
    # Every answer that was written down is not asked for again.
    sent = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    paid = [line["key"] for line in sent if line["stage"] == "answered"]
    assert len(paid) == len(set(paid))
    assert fake.asked - calls == len(sessions) - sum(1 for r in replies if _was(r, recorded))


def _was(reply: object, recorded) -> bool:
    return any(recorded.answer(key.hex()) == reply for key in recorded._positions)


def test_what_was_in_flight_is_asked_again(fake, settings, ledger):
    fake.will(Mishap("hang"))

    async def cut_off(account):
        async with account.connected():
            waiting = asyncio.create_task(ask_one(account))
            await asyncio.sleep(0.3)
            asking = next(iter(account.teacher.in_flight.values()))
            asking.task.cancel()  # what the end of the process does to it
            await asyncio.gather(waiting, return_exceptions=True)

    async def ask_one(account):
        return await account.teacher.reply(question(), session="s")

    with open_account(settings(), ledger=ledger) as account:
        asyncio.run(cut_off(account))
        spent = account.budget.spent
    with open_account(settings(), ledger=ledger) as account:
        assert account.budget.spent == spent > 0
        assert "1 calls were in flight" in account.notices[0]
    (reply,) = asked(settings(), ledger, "s")
    assert isinstance(reply, Reply)
    assert fake.asked == 2
