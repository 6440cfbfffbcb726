"""How busy the card is while it trains, asked beside the training: a step never waits for the answer."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two readings
SMI = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
SMI_SECONDS = 10.0


def gpu_use() -> int | None:
    """Return the busiest card's use in percent, as NVIDIA's driver tells it; ``None`` where it does not."""
    found = shutil.which(SMI[0])
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *SMI[1:]],
            capture_output=True,
            text=True,
            timeout=SMI_SECONDS,
            check=True,
        )
        return max(int(line) for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


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
