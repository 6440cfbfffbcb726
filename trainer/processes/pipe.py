"""Where the trainer writes events: to the run folder, or to the supervisor, which then numbers them."""

import os
from pathlib import Path
from typing import Protocol, Self

from trainer.contract.events import Event, Failed, Writer, send
from trainer.contract.pod import EVENTS_FD
from trainer.processes import collective


class Emitter(Protocol):
    """A writer of events."""

    def emit(self, event: Event) -> Event: ...


class PipeWriter:
    """Writes events to another process's pipe as lines without ``seq`` and ``time``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_inheritable(fd, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the pipe open: a later part of this process may write more events."""

    def emit(self, event: Event) -> Event:
        send(self._fd, event)
        return event


class FollowerWriter(PipeWriter):
    """For all processes but the first: writes only how the process failed, and only if there is a pipe."""

    def __init__(self, fd: int | None) -> None:
        self._silent = fd is None
        super().__init__(1 if fd is None else fd)

    def emit(self, event: Event) -> Event:
        return event if self._silent or not isinstance(event, Failed) else super().emit(event)


def is_supervised() -> bool:
    """Whether another process starts the next part: the supervisor, or the first of several processes."""
    return EVENTS_FD in os.environ or collective.rank() > 0


def has_parent() -> bool:
    """Whether ``trainer.processes.local`` started this process, as one of several."""
    return EVENTS_FD in os.environ and collective.size() > 1


def open_events(path: Path) -> Writer | PipeWriter:
    """Return the writer for a run folder's events file, ``path``.

    With ``SFT_EVENTS_FD`` set, events go to that inherited pipe, and only the supervisor writes to ``path``.
    """
    fd = os.environ.get(EVENTS_FD)
    if collective.rank() > 0:
        return FollowerWriter(None if fd is None else int(fd))
    if fd is not None:
        return PipeWriter(int(fd))
    return Writer(path)
