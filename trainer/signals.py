"""Asked to stop: leave at the next step boundary while training, at once otherwise."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

ASKED_BY = (signal.SIGTERM, signal.SIGINT)
STOP = b"stop\n"


class StopRequest:
    """Context manager for SIGTERM and Ctrl-C. In the loop the first signal sets ``asked``.

    A second one, or one outside the loop, raises ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self.asked = False
        self.in_loop = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in ASKED_BY:
            self._before[number] = signal.signal(number, self._handler())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handler(self) -> Any:
        return self._on_signal

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.in_loop:
            raise KeyboardInterrupt
        self.asked = True


class AskedByParent(StopRequest):
    """The same for one of several processes: their parent asks over stdin, and they end when it ends.

    A signal to the whole group, which Ctrl-C is, is for the parent to judge.
    """

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return super().__enter__()

    def _handler(self) -> Any:
        return signal.SIG_IGN

    def _listen(self) -> None:
        # Not through sys.stdin: its lock, held by a thread, aborts Python at its end.
        while said := os.read(0, len(STOP)):
            self.asked |= said == STOP
        os._exit(1)
