"""How busy the card is while it trains, asked beside the training: a step never waits for the answer."""

import threading
import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two readings


class CardUse:
    """The newest reading of ``read``: percent, or ``None`` where it cannot be known."""

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read
        self._latest: int | None = None
        self._asked = -EVERY
        self._reading = threading.Thread()

    def latest(self) -> int | None:
        """Ask again where the reading is old; its answer is what a later call returns."""
        now = time.monotonic()
        if now - self._asked >= EVERY and not self._reading.is_alive():
            self._asked = now
            self._reading = threading.Thread(target=self._ask, daemon=True)
            self._reading.start()
        return self._latest

    def _ask(self) -> None:
        self._latest = self._read()
