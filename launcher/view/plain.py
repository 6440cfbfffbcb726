"""What a person, or a program, sees of a story while it runs.

Stories only speak to the ``View`` protocol; ``launcher.view.choose_view`` chooses the view.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Protocol, Self

from launcher.world import World
from trainer.contract import events
from trainer.contract.errors import Fault

PAUSE = 1.0  # seconds between two plain lines of a kind
LONG_PAUSE = 10.0
STRIDE = 10  # steps
BYTES = " (bytes)"
SIZES = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"))


class View(Protocol):
    """Close it (leave its ``with``) before anything else is printed.

    ``quiet``: what other commands print would be in the way on stdout.
    """

    quiet: bool

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def say(self, text: str) -> None:
        """A line that stays."""

    def progress(self, name: str, done: int, total: int) -> None:
        """How far a stage without events is; rate and time left are worked out from the calls.

        A name that ends in ``(bytes)`` counts bytes.
        """

    def recall(self, past: Sequence[events.Event]) -> None:
        """Events of earlier attempts: the curve begins with them."""

    def event(self, event: events.Event) -> None:
        """One event of the trainer."""

    def bill(self, so_far: Callable[[], float], most: float) -> None:
        """What a rented run has cost by now, and costs at most, in dollars."""

    def tick(self) -> None:
        """Nothing happened; called several times a second."""

    def result(self, facts: dict[str, Any], lines: Sequence[str]) -> None:
        """The outcome: ``lines`` for a person, ``facts`` for a program."""


def clock(seconds: float) -> str:
    """Write a duration: 7s, 1:32, 2:03:09."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest}s"


def size(count: int) -> str:
    """Bytes, as people write them."""
    for scale, unit in SIZES:
        if count >= scale:
            return f"{count / scale:.1f}{unit}"
    return f"{count} bytes"


def dollars(so_far: float, most: float) -> str:
    """Write what a run has cost."""
    return f"${so_far:.2f} so far, at most ${most:.2f}"


def compared_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Base against adapter as one line; none when the figures are not there."""
    figures = [comparison.get(name) for name in ("base", "adapter", "difference", "n")]
    if not all(isinstance(value, int | float) for value in figures):
        return []
    base, adapter, difference, n = figures
    return [f"tasks    {base:.3f} -> {adapter:.3f} ({difference:+.3f}), {n} questions answered"]


def line(event: events.Event) -> str:
    """Write an event as text, mostly one line; empty when it has nothing to tell a person."""
    match event:
        case events.Phase():
            return f"{event.name}: {event.detail}" if event.detail else event.name
        case events.Plan():
            dropped = f" ({event.dropped_rows:,} dropped: too long)" * bool(event.dropped_rows)
            return (
                f"plan: {event.device}, {event.precision}, {event.steps:,} steps, passes of up to "
                f"{event.pass_tokens:,} tokens\n"
                f"      {event.rows:,} rows{dropped}, {event.trainable_parameters:,} parameters learn\n"
                f"      {event.trained_tokens:,} of {event.tokens:,} tokens an epoch are trained"
            )
        case events.Data():
            return ""
        case events.Probe():
            return (
                f"the longest step, on trial: {event.tokens:,} tokens in {event.seconds:.2f} s, "
                f"{event.tokens_per_second:,.0f} tokens/s"
            )
        case events.Step():
            words = [
                f"step {event.step}/{event.steps}",
                f"loss {event.loss:.4f}",
                f"lr {event.lr:.2e}",
                f"{event.tokens_per_second:,.0f} tokens/s",
                f"{event.trained_tokens_per_second:,.0f} trained/s",
                gpu_use(event),
                f"{clock(event.seconds_left)} left",
            ]
            return "  ".join(word for word in words if word)
        case events.Eval():
            return f"evaluation at step {event.step}: loss {event.loss:.4f}"
        case events.Validation():
            return f"checkpoint of step {event.step}: {event.right} of {event.questions} right"
        case events.Answers():
            last = f"; last: {event.sample}" * bool(event.sample)
            return f"{answered(event)}{last}"
        case events.Sample():
            return f"sample at step {event.step}: {event.text}"
        case events.Checkpoint():
            return f"checkpoint at step {event.step}: {event.path}"
        case events.Warning():
            return f"warning: {event.message}"
        case events.Failed():
            return f"failed: {event.cause}"
        case events.Saved():
            return f"saved: {event.path}"
        case events.Released():
            return f"released: {event.reason}"
        case events.Done():
            return f"done: {event.manifest}"
        case _:
            return ""


def gpu_use(event: events.Step) -> str:
    """Write how busy the card is; empty without one."""
    return "" if event.gpu_use is None else f"GPU {event.gpu_use}%"


def answered(event: events.Answers) -> str:
    """Write how far an evaluation is."""
    begins = f"{event.label} {event.answered}/{event.questions} answered"
    return ", ".join(word for word in (begins, *outcome(event), time_left(event)) if word)


def outcome(event: events.Answers) -> list[str]:
    """Write how the answers turned out by now, a word for each figure."""
    compared = event.won is not None and event.lost is not None
    return [f"{event.right} right", *([f"won {event.won}", f"lost {event.lost}"] * compared)]


def time_left(event: events.Answers) -> str:
    """Write how long an evaluation goes on; empty where that is not known, and at its end."""
    over = event.seconds_left is None or event.answered == event.questions
    return "" if over else f"{clock(event.seconds_left or 0)} left"


class Pace:
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
        self._pace = Pace(world)
        self._stage = Stage("", world)
        self._bill: Callable[[], str] = str

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def say(self, text: str) -> None:
        self._print(text)

    def progress(self, name: str, done: int, total: int) -> None:
        if name != self._stage.name:
            self._stage = Stage(name, self._world)
            self._pace = Pace(self._world)
        if self._pace.due(done, total):
            self.say(self._stage.line(done, total))

    def recall(self, past: Sequence[events.Event]) -> None:
        pass

    def event(self, event: events.Event) -> None:
        if isinstance(event, events.Step) and not self._pace.due(event.step, event.steps):
            return
        if isinstance(event, events.Answers):
            if event.answered == 0:  # another model begins
                self._pace = Pace(self._world)
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
