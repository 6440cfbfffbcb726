"""Reports a run: events for programs, lines for people, which the log also gets."""

import math
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from trainer.contract import event_text, events
from trainer.contract.events import Event
from trainer.processes.pipe import Emitter

LINE_SECONDS = 2.0
RATE_SECONDS = 20.0
FIRST_SECONDS, NEXT_SECONDS = 2.0, 5.0  # until a stage without events reports progress, and again
FEWEST = 200  # rows that a rate needs


class Reporter:
    """Writes events to ``writer``, lines to ``say`` and to the log file."""

    def __init__(self, writer: Emitter, say: Callable[[str], None], log: Path) -> None:
        self._writer = writer
        self._say = say
        self._log = log
        self._shown = -math.inf
        self._prints_to_log = _is_stdout(log)

    def emit(self, event: Event) -> None:
        self._writer.emit(event)

    def line(self, text: str) -> None:
        """Print ``text``, and write it to the log."""
        self._say(text)
        if not self._prints_to_log:
            self.note(text)

    def note(self, text: str) -> None:
        """Write ``text`` only to the log."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def tell(self, event: Event) -> None:
        """Write an event, and its text for people."""
        self.emit(event)
        self.line(event_text.line(event))

    def phase(self, name: str, detail: str) -> None:
        self.tell(events.Phase(name=name, detail=detail))

    def warn(self, message: str) -> None:
        self.tell(events.Warning(message=message))

    def step(self, step: events.Step) -> None:
        """Report a step: an event each time, a line every few seconds and for the last one."""
        self.emit(step)
        now = time.monotonic()
        if now - self._shown < LINE_SECONDS and step.step < step.steps:
            return
        self._shown = now
        self.line(event_text.line(step))


class RowsDone:
    """Reports the progress of a stage that handles row by row, once it has taken a while."""

    def __init__(self, reporter: Reporter, phase: str, done_to_them: str, total: int) -> None:
        self._reporter = reporter
        self._phase, self._said, self._total = phase, done_to_them, total
        self._begun = time.monotonic()
        self._next = self._begun + FIRST_SECONDS
        self._done = 0

    def one(self) -> None:
        """Count one more row."""
        self._done += 1
        now = time.monotonic()
        if now < self._next or self._done < FEWEST:
            return
        self._next = now + NEXT_SECONDS
        left = (now - self._begun) / self._done * (self._total - self._done)
        progress = (
            f"{self._said} {self._done:,} of {self._total:,} rows, {event_text.clock(left)} left"
        )
        self._reporter.phase(self._phase, progress)


class Rates:
    """Tokens per second and seconds per step over the last ``RATE_SECONDS``."""

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
    """Whether stdout is the log file: the launcher starts the trainer that way."""
    try:
        return os.path.samestat(os.fstat(1), log.stat())
    except OSError:
        return False
