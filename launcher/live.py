"""The live picture on a terminal: stage, bar, figures and the curve of the loss."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launcher.curve import curve
from launcher.view import PlainView, Stage, View, clock, line
from launcher.world import World
from trainer.contract import events

REFRESH = 0.1  # seconds
CURVE_LINES = 8
OTHER_LINES = 5
BAR = 24
MARGIN = 4  # columns; the terminal writes ^C there without wrapping


def live_view(*, world: World) -> View:
    """The live view, or plain lines where the terminal can do no more."""
    console = Console()
    if console.is_dumb_terminal or console.options.ascii_only:
        return PlainView(sys.stdout, world=world)
    return LiveView(console, world=world)


class LiveView:
    """Lines that stay scroll above; the picture below them is redrawn, and stays when it is done."""

    quiet = False

    def __init__(self, console: Console, *, world: World) -> None:
        self._console = console
        self._world = world
        self._live: Live | None = None
        self._drawn = float("-inf")
        self._phase = ""
        self._losses: list[float] = []
        self._step: events.Step | None = None
        self._stage: Stage | None = None
        self._done = (0, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._settle()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, name: str, done: int, total: int) -> None:
        if self._stage is None or self._stage.name != name:
            self._stage = Stage(name, self._world)
        self._done = (done, total)
        self._draw()
        if done >= total:
            self._settle()

    def recall(self, past: Sequence[events.Event]) -> None:
        for event in past:
            self._learn(event)

    def event(self, event: events.Event) -> None:
        self._learn(event)
        drawn = isinstance(event, events.Step | events.Phase | events.Failed)
        if not drawn and (text := line(event)):
            self.say(text)
        self._draw(now=isinstance(event, events.Phase))
        if isinstance(event, events.Done | events.Failed):
            self._settle()

    def tick(self) -> None:
        if self._live is not None:
            self._draw()

    def result(self, facts: dict[str, Any], lines: Sequence[str]) -> None:
        del facts
        self._settle()
        for text in lines:
            self.say(text)

    def _learn(self, event: events.Event) -> None:
        if isinstance(event, events.Phase):
            self._phase = line(event)
        elif isinstance(event, events.Step):
            self._step = event
            del self._losses[event.step - 1 :]
            self._losses.append(event.loss)

    def _draw(self, *, now: bool = False) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        time = self._world.now()
        if now or time - self._drawn >= REFRESH:
            self._drawn = time
            self._live.update(self._picture(), refresh=True)

    def _settle(self) -> None:
        """Leave the last picture where it is; what is printed next comes below it."""
        if self._live is not None:
            self._draw(now=True)
            self._live.stop()
        self._live = self._stage = self._step = None
        self._phase = ""
        self._losses.clear()

    def _picture(self) -> Group:
        parts: list[Any] = []
        if self._stage is not None:
            parts.append(_bar(*self._done, self._stage.line(*self._done)))
        if self._phase:
            parts.append(Text(self._phase, style="bold", overflow="ellipsis", no_wrap=True))
        if (step := self._step) is not None:
            left = f"step {step.step}/{step.steps}  {clock(step.seconds_left)} left"
            parts.append(_bar(step.step, step.steps, left))
            parts.append(Text(_figures(step), overflow="ellipsis", no_wrap=True))
            height = min(CURVE_LINES, self._console.height - OTHER_LINES)
            drawn = curve(self._losses, width=self._console.width - MARGIN, height=height)
            parts += [Text(text, style="cyan", no_wrap=True) for text in drawn]
        return Group(*parts)


def _bar(done: int, total: int, text: str) -> Table:
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(total, 1), completed=done, width=BAR)
    grid.add_row(bar, Text(text, overflow="ellipsis", no_wrap=True))
    return grid


def _figures(step: events.Step) -> str:
    return (
        f"loss {step.loss:.4f}  lr {step.lr:.2e}  {step.tokens_per_second:,.0f} tokens/s  "
        f"{step.trained_tokens_per_second:,.0f} trained/s  "
        f"{step.memory_bytes / 2**30:.1f} GiB"
    )
