"""A pod's log lines, and the rules by which a stream picks where to begin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from tests.system.emulator import validate
from tests.system.emulator.clock import Clock, parse, stamp

SOURCES = ("container", "system")


@dataclass(frozen=True)
class Line:
    seq: int
    time: float
    source: str
    text: str

    def event(self) -> bytes:
        """As one server-sent event."""
        ts = stamp(self.time)
        data = json.dumps({"ts": ts, "source": self.source, "line": self.text})
        return f"id: {ts}/{self.seq:012d}\ndata: {data}\n\n".encode()


class Log:
    """Append-only; written by the pod's threads, read by any number of streams."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[Line] = []
        self._lock = Lock()

    def add(self, source: str, text: str) -> None:
        with self._lock:
            # As precise as it is told: a client's `since` is one of these stamps.
            now = parse(stamp(self._clock.now()))
            self._lines.append(Line(len(self._lines) + 1, now, source, text))

    def system(self, text: str) -> None:
        self.add("system", text)

    def texts(self, source: str | None = None) -> list[str]:
        return [line.text for line in self._lines if source in {None, line.source}]

    def after(self, seq: int, sources: list[str]) -> list[Line]:
        return [line for line in self._lines[seq:] if line.source in sources]

    def begin(self, query: Mapping[str, str], last_event: str | None, *, repeat: int) -> int:
        """The `seq` after which a stream starts: the cursor's, ``since``'s or ``tail``'s.

        `repeat`: so many lines before a cursor are sent once more.

        Raises:
            Problem: 422.
        """
        tail = validate.integer(query, "tail", 100, least=0, most=5000)
        if last_event is not None:
            instant, _, seq = last_event.partition("/")
            if seq.isdecimal():
                return max(0, min(int(seq), len(self._lines)) - repeat)
            return max(0, self._before(instant, "Last-Event-ID") - repeat)
        if "since" in query:
            return self._before(query["since"], "query.since")
        lines = self.after(0, sources(query))
        if tail >= len(lines):
            return 0
        return lines[-tail].seq - 1 if tail else len(self._lines)

    def _before(self, instant: str, where: str) -> int:
        try:
            start = parse(instant)
        except ValueError as fault:
            raise validate.invalid(where, str(fault)) from None
        return next((line.seq - 1 for line in self._lines if line.time >= start), len(self._lines))


def sources(query: Mapping[str, str]) -> list[str]:
    return validate.words(query, "source", SOURCES) or list(SOURCES)
