"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

PLAIN_SECONDS = 5.0


class Progress:
    """Counts up to `total`; shows rate, time left and a note that the caller keeps current."""

    def __init__(self, label: str, total: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.label = label
        self.total = total
        self.count = 0
        self.note = ""
        self.started = time.monotonic()
        self.first = self.shown = 0.0
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(label, total=total, rate="", note="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
        if kind is None:
            seconds = time.monotonic() - self.started
            self.console.print(
                f"{self.label}: {self.count} in {seconds:.1f} s {self.note}".rstrip()
            )

    def advance(self, note: str = "") -> None:
        """One more is done."""
        now = time.monotonic()
        if not self.count:
            self.first = self.shown = now
        self.count += 1
        self.note = note
        rate = self.count / max(now - self.first, 1e-9)
        self.bar.update(self.task, advance=1, rate=f"{rate:.1f}/s", note=note)
        if not self.console.is_terminal and now - self.shown >= PLAIN_SECONDS:
            self.shown = now
            left = (self.total - self.count) / rate
            self.console.print(
                f"{self.label}: {self.count}/{self.total}, {rate:.1f}/s, {left:.0f} s left {note}".rstrip()
            )
