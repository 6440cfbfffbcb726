"""The supervisor's pen: events to the file while there is room, and never a crash for want of it."""

import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainer.contract.command.errors import Locked, is_no_space
from trainer.contract.events import Event, Writer

BALLAST = "ballast"
BALLAST_BYTES = 4 << 20
ROOMY = 10
WAITING = 1000


class EventLog:
    """Writes to ``path``; what cannot be written now waits, the newest of it, and is tried again.

    Beside ``path``'s folder lies some ballast, thrown off when the disk is full, so that the events
    that say so, and a small manifest, still find room.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._ballast = path.parent.parent / BALLAST
        self._pending: deque[Event] = deque(maxlen=WAITING)
        self._writer: Writer | None = None
        self._troubled = False
        with suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            if free > ROOMY * BALLAST_BYTES and not self._ballast.exists():
                self._ballast.write_bytes(b"\0" * BALLAST_BYTES)

    def emit(self, event: Event) -> None:
        """Write ``event``, now or when there is room."""
        self._pending.append(event)
        self.flush()

    def flush(self) -> None:
        """Try to write what waits."""
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
        """Throw off the ballast if something else is about to need it."""
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < BALLAST_BYTES:
                self.make_room()

    def make_room(self) -> bool:
        """Throw off the ballast; ``False`` when it is gone already."""
        with suppress(OSError):
            self._ballast.unlink()
            self._say("the disk is full: the ballast is thrown off")
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
