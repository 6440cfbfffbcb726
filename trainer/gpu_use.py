"""How busy the card is during training, read in a thread, so that no step waits for it."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable

EVERY = 5.0  # seconds between two readings
SMI = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
SMI_SECONDS = 10.0


def gpu_use() -> int | None:
    """Return the busiest card's use in percent, from NVIDIA's driver; None if it is unknown."""
    found = shutil.which(SMI[0])
    if found is None:
        return None
    try:
        command = [found, *SMI[1:]]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SMI_SECONDS, check=True
        )
        return max(int(line) for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


class CardUse:
    """The newest result of ``read``: percent, or None if it is unknown."""

    def __init__(self, read: Callable[[], int | None]) -> None:
        self._read = read
        self._latest: int | None = None
        self._started = -EVERY
        self._reading = threading.Thread()

    def latest(self) -> int | None:
        """Return the newest reading; if it is old, start another for a later call."""
        now = time.monotonic()
        if now - self._started >= EVERY and not self._reading.is_alive():
            self._started = now
            self._reading = threading.Thread(target=self._read_once, daemon=True)
            self._reading.start()
        return self._latest

    def _read_once(self) -> None:
        self._latest = self._read()
