"""Events and views as the tests of this room make them."""

import io
from typing import Any

from rich.console import Console

from launcher.view.live import LiveView
from launcher.world import World
from trainer.contract import events


class Clock(World):
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


def step(number: int, steps: int = 100, loss: float = 1.0, **more: Any) -> events.Step:
    return events.Step(
        step=number,
        steps=steps,
        epoch=0.5,
        loss=loss,
        lr=1e-3,
        tokens=10,
        trained_tokens=4,
        tokens_per_second=1234.0,
        trained_tokens_per_second=567.0,
        seconds_left=92.0,
        memory_bytes=3 << 29,
        **more,
    )


def rendered(width: int, height: int) -> tuple[LiveView, io.StringIO, Clock]:
    out, world = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    return LiveView(console, world=world), out, world


def answers(done: int, **more: float) -> events.Answers:
    return events.Answers(
        label="adapter", questions=40, answered=done, right=done // 2, won=2, lost=1,
        sample='What is the largest "x"? -> 3 (right)', **more,
    )  # fmt: skip
