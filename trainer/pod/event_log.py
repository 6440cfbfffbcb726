"""The supervisor's event log: keeps events in memory while the disk is full, and never raises."""

import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainer.contract.command.errors import Locked, is_no_space
from trainer.contract.events import Event, Writer

RESERVE = "reserve"
RESERVE_BYTES = 4 << 20
ROOMY = 10
WAITING = 1000


class EventLog:
    """Writes to ``path``; events that cannot be written wait in memory, the newest ``WAITING`` of them.

    A reserve file beside the run folder is deleted when the disk is full, so that the events that report
    it, and a small manifest, can still be written.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._reserve = path.parent.parent / RESERVE
        self._pending: deque[Event] = deque(maxlen=WAITING)
        self._writer: Writer | None = None
        self._troubled = False
        with suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            if free > ROOMY * RESERVE_BYTES and not self._reserve.exists():
                self._reserve.write_bytes(b"\0" * RESERVE_BYTES)

    def emit(self, event: Event) -> None:
        """Write ``event`` now, or when the disk has space."""
        self._pending.append(event)
        self.flush()

    def flush(self) -> None:
        """Try to write the events that wait."""
        while self._pending:
            try:
                self._open().emit(self._pending[0])
            except (OSError, Locked) as error:
                if is_no_space(error) and self.make_room():
                    continue
                if not self._troubled:
                    self._say(f"events cannot be written: {error}")
                self._troubled = True
                return
            self._troubled = False
            self._pending.popleft()

    def make_room_when_short(self) -> None:
        """Delete the reserve file if little space is left."""
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < RESERVE_BYTES:
                self.make_room()

    def make_room(self) -> bool:
        """Delete the reserve file; False if it was deleted before."""
        with suppress(OSError):
            self._reserve.unlink()
            self._say("the disk is full: the reserve file is deleted")
            return True
        return False

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Writer:
        if self._writer is None:
            writer = Writer(self._path)
            writer.__enter__()
            self._writer = writer
        return self._writer
