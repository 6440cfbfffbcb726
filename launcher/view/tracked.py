"""A view that also passes each event to a function."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from launcher.view.protocol import View
from trainer.contract import events


class TrackedView:
    """`view`, with `heard` called for each event that is new."""

    def __init__(self, view: View, heard: Callable[[events.Event], None]) -> None:
        self._view = view
        self._heard = heard
        self.quiet = view.quiet

    def __enter__(self) -> Self:
        self._view.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._view.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self._view.say(text)

    def progress(self, name: str, done: int, total: int) -> None:
        self._view.progress(name, done, total)

    def recall(self, past: Sequence[events.Event]) -> None:
        self._view.recall(past)

    def event(self, event: events.Event) -> None:
        self._view.event(event)
        self._heard(event)

    def bill(self, so_far: Callable[[], float], most: float) -> None:
        self._view.bill(so_far, most)

    def tick(self) -> None:
        self._view.tick()

    def result(self, facts: dict[str, Any], lines: Sequence[str]) -> None:
        self._view.result(facts, lines)
