"""SIGTERM and Ctrl-C: leave at the next step boundary while training, at once otherwise."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

ASKED_BY = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Context manager. In the loop the first signal sets ``asked``.

    A second one, or one outside the loop, raises ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self.asked = False
        self.in_loop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in ASKED_BY:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.in_loop:
            raise KeyboardInterrupt
        self.asked = True
