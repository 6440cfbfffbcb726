"""Progress of long work: a bar with lines under it on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

PLAIN_SECONDS = 5.0
PLAIN_MOST_SECONDS = 60.0  # a plain line is due even if nothing has ended
LIVE_SECONDS = 0.2


class Progress:
    """Counts up to `total`; shows rate, time left and a note that the caller keeps current.

    `details` returns further lines, called at each display. Nothing is shown but in calls, so
    `refresh` has to be called now and then where nothing ends for long; any thread may. `done` of the
    total were there before and do not count in the rate.
    """

    def __init__(
        self,
        label: str,
        total: int,
        console: Console | None = None,
        *,
        done: int = 0,
        details: Callable[[], Sequence[str]] = list,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.label = label
        self.total = total
        self.before = self.count = done
        self.note = ""
        self.details = details
        self.started = time.monotonic()
        self.first = self.shown = self.started
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task(label, total=total, completed=done, rate="")
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self._at_first = 1
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
            self.live.update(self.bar.get_renderable(), refresh=True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.live.stop()
        if kind is None:
            seconds = time.monotonic() - self.started
            self._print(f"{self.label}: {self.count} in {seconds:.1f} s {self.note}")

    def begin(self) -> None:
        """Print the first line, if no bar is shown."""
        if not self.console.is_terminal:
            self._print(f"{self.label}: {self.count}/{self.total}")

    def advance(self, note: str = "", by: int = 1) -> None:
        """Count one more, or `by` more that ended together."""
        with self._lock:
            if self.count == self.before:
                self.first = time.monotonic()
                self._at_first = by
            self.count += by
            self.note = note
            self.bar.update(self.task, advance=by, rate=f"{self._rate():.1f}/s")
            self.refresh()

    def expect_fewer(self, by: int) -> None:
        """Count up to a total that is lower by as many."""
        with self._lock:
            self.total -= by
            self.bar.update(self.task, total=self.total)

    @contextmanager
    def following(self, count: Callable[[], int]) -> Iterator[None]:
        """While the block runs, a thread calls `count` and advances to what it returns."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(LIVE_SECONDS):
                catch_up()

        def catch_up() -> None:
            if (by := count() - self.count) > 0:
                self.advance(by=by)
            self.refresh()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
            catch_up()
        finally:
            over.set()
            thread.join()

    def skip(self, note: str = "") -> None:
        """Count one that an earlier run did: it does not change the rate."""
        with self._lock:
            self.count += 1
            self.before += 1
            self.note = note
            self.bar.update(self.task, advance=1)
            self.refresh()

    def seconds_left(self) -> float | None:
        """As the rate has it; None where it is not known yet."""
        with self._lock:
            rate = self._rate()
            return (self.total - self.count) / rate if rate else None

    def refresh(self) -> None:
        """Update the display, unless it was updated a moment ago."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        quiet = time.monotonic() - self.shown
        if self.console.is_terminal:
            if quiet >= LIVE_SECONDS:
                lines = [Text(line) for line in (self.note, *self.details()) if line]
                self.live.update(Group(self.bar.get_renderable(), *lines), refresh=True)
                self.shown = time.monotonic()
        elif quiet >= (PLAIN_SECONDS if self.count > self._told else PLAIN_MOST_SECONDS):
            self._told = self.count
            self.shown = time.monotonic()
            rate = self._rate()
            left = f", {(self.total - self.count) / rate:.0f} s left" if rate else ""
            said = "; ".join([self.note, *self.details()]).removeprefix("; ")
            self._print(f"{self.label}: {self.count}/{self.total}, {rate:.1f}/s{left} {said}")

    _told = 0

    def _rate(self) -> float:
        """Of those that ended after the first ones: start-up does not count."""
        since = self.count - self.before - self._at_first
        return since / (time.monotonic() - self.first) if since > 0 else 0.0

    def _print(self, line: str) -> None:
        self.console.print(line.rstrip(), highlight=False, soft_wrap=True, markup=False)
