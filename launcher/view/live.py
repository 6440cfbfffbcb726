"""The live picture on a terminal: stage, bar, figures and the curve of the loss."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launcher.view.amount_text import dollars
from launcher.view.loss_curve import curve
from launcher.view.plain import PlainView, Stage
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract import events
from trainer.contract.event_text import answered, clock, gpu_use, line, outcome, time_left

REFRESH = 0.1  # seconds
PATIENCE = 2.0  # seconds after which a phase shows its duration
CURVE_LINES = 8
BAR = 24
GAP = "  "
DRAWN = events.Step | events.Phase | events.Answers | events.Sample | events.Failed
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
        self._silent_since: float | None = None
        self._losses: list[float] = []
        self._step: events.Step | None = None
        self._answers: events.Answers | None = None
        self._stage: Stage | None = None
        self._done = (0, 1)
        self._sample = ""
        self._expected: int | None = None
        self._bill: Callable[[], str] = str
        self._widths: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        drawn = isinstance(event, DRAWN)
        if isinstance(event, events.Answers) and event.answered == event.questions:
            self.say(answered(event))
        if not drawn and (text := line(event)):
            self.say(text)
        self._draw(now=isinstance(event, events.Phase))
        if isinstance(event, events.Done | events.Failed):
            self._settle()

    def bill(self, so_far: Callable[[], float], most: float) -> None:
        self._bill = lambda: dollars(so_far(), most)

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
            self._phase, self._silent_since = line(event), self._world.now()
        elif isinstance(event, events.Answers):
            self._answers, self._step = event, None
            self._silent_since = None
        elif isinstance(event, events.Step):
            self._step, self._silent_since = event, None
            del self._losses[event.step - 1 :]
            self._losses.append(event.loss)
        elif isinstance(event, events.Plan):
            self._expected = event.predicted_bytes
        elif isinstance(event, events.Sample) and event.label == "adapter":
            self._sample = " ".join(event.text.split())

    def _draw(self, *, now: bool = False) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._widths = []
            self._live.start()
        time = self._world.now()
        if now or time - self._drawn >= REFRESH:
            self._drawn = time
            picture = self._picture()
            self._console.file.write(unwrapped(self._widths, self._console.width))
            shown = self._console.render_lines(picture, pad=False)
            self._widths = [sum(part.cell_length for part in row) for row in shown]
            self._live.update(picture, refresh=True)

    def _settle(self) -> None:
        """Leave the last picture where it is; what is printed next comes below it."""
        if self._live is not None:
            self._draw(now=True)
            self._live.stop()
        self._live = self._stage = self._step = self._answers = None
        self._phase = ""
        self._losses.clear()

    def _picture(self) -> Group:
        width, height = self._console.size
        width = max(1, width - MARGIN)
        parts: list[Any] = []
        if self._stage is not None:
            parts.append(_bar(*self._done, self._stage.line(*self._done), width))
        if self._phase:
            parts.append(_line(f"{self._phase}{self._waited()}", width, "bold"))
        if (told := self._answers) is not None:
            parts.append(_bar(told.answered, told.questions, so_far(told), width))
            words = [word for word in (*outcome(told), self._bill()) if word]
            parts += [_line(text, width) for text in flow(words, width)]
            parts += [_line(told.sample, width)] if told.sample else []
        if (step := self._step) is not None:
            left = f"step {step.step}/{step.steps}  {clock(step.seconds_left)} left"
            parts.append(_bar(step.step, step.steps, left, width))
            parts += [_line(text, width) for text in flow(self._figures(step), width)]
            below = [_line(f"sample: {self._sample}", width, "dim")] if self._sample else []
            room = min(CURVE_LINES, height - 2 - len(parts) - len(below))
            drawn = curve(self._losses, width=width, height=room)
            parts += [_line(text, width, "cyan") for text in drawn]
            parts += below
        return Group(*parts[: max(1, height - 1)])

    def _waited(self) -> str:
        """The duration of a phase that shows no other progress."""
        if self._silent_since is None:
            return ""
        waited = self._world.now() - self._silent_since
        return f"  {clock(waited)}" if waited >= PATIENCE else ""

    def _figures(self, step: events.Step) -> list[str]:
        expected = f" of {self._expected / 1e9:.1f} expected" if self._expected else ""
        found = [
            f"loss {step.loss:.4f}",
            f"lr {step.lr:.2e}",
            f"{step.tokens_per_second:,.0f} tokens/s",
            f"{step.trained_tokens_per_second:,.0f} trained/s",
            f"{step.memory_bytes / 1e9:.1f} GB{expected}",
        ]
        return [word for word in (*found, gpu_use(step), self._bill()) if word]


def so_far(told: events.Answers) -> str:
    """Write what a bar of an evaluation is about, as short as can be."""
    left = time_left(told)
    return f"{told.label} {told.answered}/{told.questions} answered" + (left and f"  {left}")


def unwrapped(widths: Sequence[int], columns: int) -> str:
    """What takes a picture away that a narrower terminal has wrapped, and leaves the cursor at its end.

    ``widths`` are its lines'. Empty where nothing was wrapped.
    """
    rows = sum(max(1, -(-width // columns)) for width in widths)
    if rows <= len(widths):
        return ""
    return f"\r\x1b[{rows - 1}A\x1b[J" + "\n" * (len(widths) - 1)


def flow(words: Sequence[str], width: int) -> list[str]:
    """The words in as few lines of at most ``width`` columns as take them; a longer word has its own."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(GAP) + len(word) <= width:
            lines[-1] += GAP + word
        else:
            lines.append(word)
    return lines


def _line(text: str, width: int, style: str = "") -> Text:
    shown = Text(text, style=style, overflow="ellipsis", no_wrap=True)
    shown.truncate(width, overflow="ellipsis")
    return shown


def _bar(done: int, total: int, text: str, width: int) -> Table:
    grid = Table.grid(padding=(0, 1))
    room = max(4, min(BAR, width - len(text) - 1))
    bar = ProgressBar(total=max(total, 1), completed=done, width=room)
    grid.add_row(bar, _line(text, width - room - 1))
    return grid
