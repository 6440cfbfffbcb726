"""What every view can show: the ``View`` protocol, to which the code of a run speaks.

``launcher.view.choose_view`` chooses the view.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from trainer.contract import events


class View(Protocol):
    """Close it (leave its ``with``) before anything else is printed.

    ``quiet``: what other commands print would be in the way on stdout.
    """

    quiet: bool

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None: ...

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
