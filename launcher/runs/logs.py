"""``launch logs``: a run's events and its trainer's output, as lines."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from launcher.runs.run_folder import Run, is_locked
from launcher.world import World
from trainer.contract import events
from trainer.contract.event_text import line

POLL = 0.3  # seconds
BLOCK = 1 << 20  # bytes


def lines(run: Run, *, follow: bool, as_json: bool, world: World) -> Iterator[str]:
    """Yield events, then the other lines of train.log; with ``follow``, what comes until the run ends.

    The trainer also prints most events; each is shown once.

    ``as_json`` yields the events alone, each as its JSON line.
    """
    offset, output = 0, _Growing(run.log)
    told: Counter[str] = Counter()
    while True:
        running = follow and (is_locked(run.trainer_lock) or is_locked(run.lock))
        end = output.size()  # the events of the lines before it are read below
        seen, offset = events.read(run.events, offset)
        for event in seen:
            if as_json:
                yield event.model_dump_json()
            elif text := line(event):
                yield f"{datetime.fromtimestamp(event.time).astimezone():%H:%M:%S}  {text}"
                told.update(text.splitlines())
        if not as_json:
            for text in output.more(end, whole=running):
                if told[text] > 0:
                    told[text] -= 1
                else:
                    yield f"train.log | {text}"
        if not running:
            return
        world.sleep(POLL)


class _Growing:
    """A file of any size that is being added to, read in pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def more(self, end: int, *, whole: bool) -> Iterator[str]:
        """What was added since the last call up to byte ``end``, as lines.

        ``whole`` leaves a line that has no end yet.
        A line longer than ``BLOCK`` comes in pieces.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._at)
            while block := file.read(min(BLOCK, max(0, end - self._at))):
                at_end = self._at + len(block) >= end
                used = len(block) if at_end and not whole else block.rfind(b"\n") + 1
                if at_end and not used:
                    return
                used = used or len(block)
                yield from block[:used].decode(errors="replace").splitlines()
                self._at += used
                file.seek(self._at)
