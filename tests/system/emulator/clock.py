"""The emulator's own time: the machine's, moved forward as a test likes."""

import time
from datetime import UTC, datetime


class Clock:
    """Wall time plus what `advance` added. What containers do, they still do in real time."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Moves time forward: meters run on, billing records and quota windows come due.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time goes forward only")
        self._ahead += seconds


def stamp(seconds: float) -> str:
    """RFC 3339 to the microsecond, so that the order of stamps is the order of events."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def parse(text: str) -> float:
    """The inverse of `stamp`, for any RFC 3339 instant.

    Raises:
        ValueError: not an instant with a zone.
    """
    instant = datetime.fromisoformat(text.upper())
    if instant.tzinfo is None:
        raise ValueError(f"{text}: no time zone")
    return instant.timestamp()
