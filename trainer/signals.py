"""Requests to stop: training ends after the current step, anything else ends at once."""

import os
import signal
import threading
from types import FrameType
from typing import Any, Self

ASKED_BY = (signal.SIGTERM, signal.SIGINT)
STOP = b"stop\n"


class StopRequest:
    """Context manager for SIGTERM and Ctrl-C. In the training loop the first signal sets ``asked``.

    A second signal, or one outside the loop, raises ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self.asked = False
        self.in_loop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in ASKED_BY:
            self._before[number] = signal.signal(number, self._handler())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handler(self) -> Any:
        return self._on_signal

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.in_loop:
            raise KeyboardInterrupt
        self.asked = True


class ParentStopRequest(StopRequest):
    """For one of several processes: the parent requests a stop over stdin, and the process ends when the parent ends.

    Signals are ignored: Ctrl-C goes to the whole group, and the parent decides.
    """

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return super().__enter__()

    def _handler(self) -> Any:
        return signal.SIG_IGN

    def _listen(self) -> None:
        # Not through sys.stdin: a thread that holds its lock aborts Python at exit.
        while line := os.read(0, len(STOP)):
            self.asked |= line == STOP
        os._exit(1)
