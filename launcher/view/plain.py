"""Plain lines for files and pipes, and JSON lines for programs."""

import json
from collections.abc import Callable, Sequence
from typing import IO, Any, Self

from launcher.view.amount_text import SIZES, dollars
from launcher.world import World
from trainer.contract import events
from trainer.contract.command.errors import Fault
from trainer.contract.event_text import clock, line

PAUSE = 1.0  # seconds between two plain lines of a kind
LONG_PAUSE = 10.0
STRIDE = 10  # steps
BYTES = " (bytes)"


class Rate:
    """Decides which of many steps are worth a plain line."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._time = float("-inf")
        self._step = 0

    def due(self, step: int, steps: int) -> bool:
        """At most a line a second, and then each tenth step or each ten seconds; always the last."""
        now = self._world.now()
        waited = now - self._time
        if step < steps and (
            waited < PAUSE or (step < self._step + STRIDE and waited < LONG_PAUSE)
        ):
            return False
        self._time, self._step = now, step
        return True


class PlainView:
    """Lines of text, for files, pipes and terminals that cannot move the cursor."""

    quiet = False

    def __init__(self, out: IO[str], *, world: World) -> None:
        self._out = out
        self._world = world
        self._pace = Rate(world)
        self._stage = Stage("", world)
        self._bill: Callable[[], str] = str

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        pass

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def say(self, text: str) -> None:
        self._print(text)

    def progress(self, name: str, done: int, total: int) -> None:
        if name != self._stage.name:
            self._stage = Stage(name, self._world)
            self._pace = Rate(self._world)
        if self._pace.due(done, total):
            self.say(self._stage.line(done, total))

    def recall(self, past: Sequence[events.Event]) -> None:
        pass

    def event(self, event: events.Event) -> None:
        if isinstance(event, events.Step) and not self._pace.due(event.step, event.steps):
            return
        if isinstance(event, events.Answers):
            if event.answered == 0:  # another model begins
                self._pace = Rate(self._world)
            if not self._pace.due(event.answered, event.questions):
                return
        if isinstance(event, events.Failed):
            return  # the fault is reported where it ends the story
        text = line(event)
        if isinstance(event, events.Step) and (cost := self._bill()):
            text += f"  {cost}"
        if text:
            self.say(text)

    def bill(self, so_far: Callable[[], float], most: float) -> None:
        self._bill = lambda: dollars(so_far(), most)

    def tick(self) -> None:
        pass

    def result(self, facts: dict[str, Any], lines: Sequence[str]) -> None:
        del facts
        for text in lines:
            self.say(text)


class JsonView(PlainView):
    """JSON lines: the trainer's events as they are, and ``note``, ``progress``, ``outcome``."""

    quiet = True

    def _write(self, kind: str, **facts: Any) -> None:
        self._print(json.dumps({"type": kind, **facts}, ensure_ascii=False))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Fault):
            self._write(
                "outcome",
                state="failed",
                exit_code=error.exit_code,
                cause=error.cause,
                hint=error.hint,
                faults=list(error.faults),
            )

    def say(self, text: str) -> None:
        self._write("note", text=text)

    def progress(self, name: str, done: int, total: int) -> None:
        if self._pace.due(done, total):
            self._write("progress", name=name, done=done, total=total)

    def event(self, event: events.Event) -> None:
        self._print(event.model_dump_json())

    def result(self, facts: dict[str, Any], lines: Sequence[str]) -> None:
        del lines
        self._write("outcome", **facts)


class Stage:
    """Rate and time left of a stage, from how far it is."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self._world = world
        self._begun = world.now()
        self._first: int | None = None

    def line(self, done: int, total: int) -> str:
        """Write it as text."""
        if self._first is None:
            self._first = done
        seconds = self._world.now() - self._begun
        name, scale, unit = _unit(self.name, total)
        text = (
            f"{name} {done}/{total}"
            if scale == 1
            else f"{name} {done / scale:.1f}/{total / scale:.1f}{unit}"
        )
        if done > self._first and seconds > 0:
            rate = (done - self._first) / seconds
            text += f"  {rate / scale:.3g}{unit}/s  {clock((total - done) / rate)} left"
        return text


def _unit(name: str, total: int) -> tuple[str, float, str]:
    """How a stage's counts are shown: its name, what they are divided by, the sign of that."""
    if not name.endswith(BYTES):
        return name, 1, ""
    scale, unit = next((s, u) for s, u in SIZES if total >= s or s == 1e3)
    return name.removesuffix(BYTES), scale, unit
