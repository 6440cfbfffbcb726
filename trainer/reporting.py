"""What a run says: events for machines, lines for people, both also in the log."""

import math
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from trainer.contract import events
from trainer.contract.events import Event
from trainer.pipe import Emitter

LINE_SECONDS = 2.0
RATE_SECONDS = 20.0


class Reporter:
    """Writes events to ``writer``, lines to ``say`` and to the log file."""

    def __init__(self, writer: Emitter, say: Callable[[str], None], log: Path) -> None:
        self._writer = writer
        self._say = say
        self._log = log
        self._shown = -math.inf
        self._said_in_log = _is_stdout(log)

    def emit(self, event: Event) -> None:
        self._writer.emit(event)

    def line(self, text: str) -> None:
        """Tell people, and keep it in the log."""
        self._say(text)
        if not self._said_in_log:
            self.note(text)

    def note(self, text: str) -> None:
        """Keep ``text`` in the log alone."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def phase(self, name: str, detail: str) -> None:
        self.emit(events.Phase(name=name, detail=detail))
        self.line(f"{name}: {detail}")

    def warn(self, message: str) -> None:
        self.emit(events.Warning(message=message))
        self.line(f"warning: {message}")

    def step(self, step: events.Step) -> None:
        """Report a step: an event each time, a line every few seconds and for the last one."""
        self.emit(step)
        now = time.monotonic()
        if now - self._shown < LINE_SECONDS and step.step < step.steps:
            return
        self._shown = now
        self.line(
            f"step {step.step}/{step.steps}  epoch {step.epoch:.2f}  loss {step.loss:.4f}  "
            f"lr {step.lr:.2e}  {step.tokens_per_second:.0f} tok/s  "
            f"{step.trained_tokens_per_second:.0f} trained tok/s  {clock(step.seconds_left)} left"
        )


def clock(seconds: float) -> str:
    """Return ``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Rates:
    """Tokens per second and seconds per step over the last moments."""

    def __init__(self, step: int, tokens: int, trained_tokens: int) -> None:
        self._seen = deque([(time.monotonic(), step, tokens, trained_tokens)])

    def add(self, step: int, tokens: int, trained_tokens: int) -> tuple[float, float, float]:
        """Return (tokens per second, trained tokens per second, seconds per step)."""
        now = time.monotonic()
        self._seen.append((now, step, tokens, trained_tokens))
        while len(self._seen) > 2 and now - self._seen[1][0] > RATE_SECONDS:
            self._seen.popleft()
        then, *before = self._seen[0]
        seconds = max(now - then, 1e-9)
        return (
            (tokens - before[1]) / seconds,
            (trained_tokens - before[2]) / seconds,
            seconds / max(step - before[0], 1),
        )


def _is_stdout(log: Path) -> bool:
    """Whether what is said goes to the log anyway: the launcher starts the trainer that way."""
    try:
        return os.path.samestat(os.fstat(1), log.stat())
    except OSError:
        return False
