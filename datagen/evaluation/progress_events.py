"""Progress of an evaluation: a bar or lines on the screen, events for the parent process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from datagen.progress import Progress
from trainer.contract.events import Answers, Event, send
from trainer.contract.pod import EVENTS_FD

if TYPE_CHECKING:
    from datagen.episode import Episode

TICK_SECONDS = 0.2
EVENT_SECONDS = 2.0
TEXT, ANSWER = 90, 40  # most characters of the last sample
Emit = Callable[[Event], None]


def emitter(environment: Mapping[str, str] = os.environ) -> Emit:
    """Return a function that sends events to the parent process's pipe, or drops them without a pipe."""
    named = environment.get(EVENTS_FD)
    if named is None:
        return lambda _: None
    pipe = int(named)
    os.set_inheritable(pipe, False)

    def emit(event: Event) -> None:
        with suppress(OSError):  # the parent has closed the pipe
            send(pipe, event)

    return emit


class EvaluationProgress:
    """Shows the progress of each model in turn; compares answers of `adapter` with those of `base`.

    `answered` counts all of them. `activity` returns, by label, what a model is doing.
    """

    def __init__(
        self,
        emit: Emit = lambda _: None,
        activity: Mapping[str, Callable[[], str]] = MappingProxyType({}),
    ) -> None:
        self.answered = 0
        self._emit = emit
        self._activity = activity
        self._right: dict[str, dict[tuple[str, int], bool]] = {}

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[ModelProgress]:
        """Show the progress of `total` answers; call the yielded object with each answer."""
        mine: dict[tuple[str, int], bool] = {}
        other = self._right.get(label.replace("adapter", "base")) if "adapter" in label else None
        self._right[label] = mine
        column = ModelProgress(label, total, mine, other)
        told = time.monotonic()
        busy = self._activity.get(label.rpartition("-")[2], str)

        def details() -> list[str]:
            return [text for text in (column.last, busy()) if text]

        self._emit(column.event(None))
        with Progress(label, total, details=details) as progress:
            progress.begin()
            column.progress = progress
            over = threading.Event()

            def tick() -> None:
                nonlocal told
                while not over.wait(TICK_SECONDS):
                    progress.refresh()
                    if len(mine) < total and time.monotonic() - told >= EVENT_SECONDS:
                        told = time.monotonic()
                        self._emit(column.event(progress.seconds_left()))

            ticking = threading.Thread(target=tick, daemon=True)
            ticking.start()
            try:
                yield column
            finally:
                over.set()
                ticking.join()
                self.answered += len(mine)
        self._emit(column.event(0.0))


class ModelProgress:
    """The answers of one model, as they come."""

    def __init__(
        self,
        label: str,
        total: int,
        mine: dict[tuple[str, int], bool],
        other: Mapping[tuple[str, int], bool] | None,
    ) -> None:
        self.progress: Progress | None = None
        self.last = ""
        self._label = label
        self._total = total
        self._mine = mine
        self._other = other
        self._won = self._lost = 0

    def __call__(self, episode: Episode) -> None:
        """Count a new answer."""
        self._count(episode)
        if self.progress is not None:
            self.progress.advance(self._note())

    def found(self, episode: Episode) -> None:
        """Count an answer of an earlier run of the same command."""
        self._count(episode)
        if self.progress is not None:
            self.progress.skip(self._note())

    def event(self, seconds_left: float | None) -> Answers:
        compared = self._other is not None
        return Answers(
            label=self._label,
            questions=self._total,
            answered=len(self._mine),
            right=sum(self._mine.values()),
            won=self._won if compared else None,
            lost=self._lost if compared else None,
            seconds_left=seconds_left,
            sample=self.last,
        )

    def _count(self, episode: Episode) -> None:
        right = episode.verdict.verified
        key = episode.question.id, episode.provenance.seed
        self._mine[key] = right
        if self._other is not None and key in self._other:
            self._won += right and not self._other[key]
            self._lost += self._other[key] and not right
        self.last = last_answer_text(episode)

    def _note(self) -> str:
        note = f"{sum(self._mine.values())} right"
        if self._other is not None:
            note += f", won {self._won}, lost {self._lost} against the base"
        return note


def last_answer_text(episode: Episode) -> str:
    """Return question and answer as one line."""
    trace = episode.traces[-1]
    answer = _short(repr(trace.answer), ANSWER) if trace.submitted else "no answer"
    word = "right" if episode.verdict.verified else "wrong"
    return f"{_short(episode.question.text, TEXT)} -> {answer} ({word})"


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
