"""A pod's log as one unbroken sequence of lines, over a stream that breaks.

It is opened again after the last line seen, as often as needed. Lines that the server then repeats are
left out: only lines that an earlier connection gave can be repeats, and each of them once.
"""

import json
from collections import Counter, deque
from collections.abc import Iterator

from launcher.runpod_api.answers import LogLine
from launcher.runpod_api.http import Dropped, Http
from trainer.contract.command.errors import NotFound

MOST_LINES = 5000
MOST_DATA = 1 << 20  # characters of one event; a longer one is dropped
UNKNOWN_TRIES = 8


def follow(http: Http, path: str, *, source: str | None, quiet: float) -> Iterator[LogLine | None]:
    """Lines from the start of the log (at most the last 5000) on, without end.

    ``None`` comes at least every ``quiet`` seconds without a new line, for the caller to look at
    the clock and the pod. Raises ``NotFound`` when the API has not known the pod for about a minute.
    """
    query: dict[str, str | int] = {"tail": MOST_LINES}
    if source:
        query["source"] = source
    last_id = ""
    given: deque[LogLine] = deque(maxlen=MOST_LINES)
    unknown = failures = 0
    while True:
        repeats = Counter(given)
        wait = 0.0
        try:
            with http.stream(path, query=query, last_id=last_id, quiet=quiet) as lines:
                unknown = 0
                for line in read_events(lines):
                    failures = 0
                    if line is None:
                        yield None
                    elif repeats[line]:
                        repeats[line] -= 1
                    else:
                        given.append(line)
                        last_id = line.id or line.time or last_id
                        yield line
        except Dropped as dropped:
            wait = dropped.wait
            if dropped.silent:
                yield None
                continue
        except NotFound:
            unknown += 1
            if unknown >= UNKNOWN_TRIES:
                raise
        yield None
        http.sleep(http.pause(min(failures, 4), wait))
        failures += 1


def read_events(lines: Iterator[str]) -> Iterator[LogLine | None]:
    """Parse server-sent events as they come; ``None`` for a comment.

    An event counts at its blank line, as in the standard, or as soon as an id and a whole JSON
    object are there: the API's own example shows events without the blank line.
    """
    event_id, data = "", ""
    for text in lines:
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if (found := _line(event_id, data)) is not None:
                yield found
            event_id, data = "", ""
        elif not name:
            yield None
        elif name == "id":
            event_id = value
        elif name == "data":
            data = data + value if len(data) + len(value) <= MOST_DATA else ""
        if event_id and data.endswith("}") and (found := _line(event_id, data)) is not None:
            yield found
            event_id, data = "", ""


def _line(event_id: str, data: str) -> LogLine | None:
    try:
        return LogLine.model_validate(json.loads(data) | {"id": event_id})
    except (ValueError, TypeError, RecursionError):
        return None
