"""How busy the card is: a fake reading, and steps that never wait for it."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from trainer import gpu_use
from trainer.contract.job import Job
from trainer.gpu_use import CardUse
from trainer.loop.callbacks import Counts, RunCallback
from trainer.signals import StopRequest


def until(known):
    end = time.monotonic() + 20
    while not known() and time.monotonic() < end:
        time.sleep(0.01)
    assert known()


def test_a_step_does_not_wait_and_one_reading_is_asked_for_at_a_time(monkeypatch):
    monkeypatch.setattr(gpu_use, "EVERY", 0.0)
    answered = threading.Event()
    asked: list[None] = []

    def read():
        asked.append(None)
        answered.wait(20)
        return 97

    use = CardUse(read)
    assert [use.latest() for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    answered.set()
    until(lambda: use.latest() == 97)


def test_a_reading_is_asked_for_again_when_it_is_old(monkeypatch):
    told = [71, 3]
    use = CardUse(lambda: told.pop() if len(told) > 1 else told[0])
    until(lambda: use.latest() == 3)
    monkeypatch.setattr(gpu_use, "EVERY", 0.0)
    until(lambda: use.latest() == 71)


@pytest.mark.parametrize(
    ("device", "rank", "use"), [("cuda", 0, 97), ("cpu", 0, None), ("cuda", 1, None)]
)
def test_steps_on_a_card_carry_it(tmp_path, monkeypatch, device, rank, use):
    monkeypatch.setattr("trainer.loop.callbacks.gpu_use", lambda: 97)
    monkeypatch.setattr("trainer.processes.collective.rank", lambda: rank)
    monkeypatch.setattr("trainer.device.peak_bytes", lambda _: 0)
    steps: list[Any] = []
    run: Any = SimpleNamespace(
        job=Job(model="m", data="d", output=str(tmp_path)),
        here=SimpleNamespace(step=0),
        reporter=SimpleNamespace(step=steps.append),
        stop=StopRequest(),
    )
    callback = RunCallback(run, Counts(None))
    args = SimpleNamespace(device=device, world_size=1)

    def take_step():
        state = SimpleNamespace(global_step=len(steps) + 1, max_steps=99, epoch=0.5)
        callback.on_log(args, state, None, {"loss": 1.0, "learning_rate": 1e-4})
        return steps[-1].gpu_use

    if use is None:
        assert [take_step() for _ in range(5)] == [None] * 5
    else:
        until(lambda: take_step() == use)
