"""``launch logs``: a run's events and its trainer's output, as lines."""

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
    """Yield events, then the lines of train.log; with ``follow``, what comes until the run ends.

    ``as_json`` yields the events alone, each as its JSON line.
    """
    offset, output = 0, _Growing(run.log)
    while True:
        running = follow and (is_locked(run.trainer_lock) or is_locked(run.lock))
        seen, offset = events.read(run.events, offset)
        for event in seen:
            if as_json:
                yield event.model_dump_json()
            elif text := line(event):
                yield f"{datetime.fromtimestamp(event.time).astimezone():%H:%M:%S}  {text}"
        if not as_json:
            yield from (f"train.log | {text}" for text in output.more(whole=running))
        if not running:
            return
        world.sleep(POLL)


class _Growing:
    """A file of any size that is being added to, read in pieces."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def more(self, *, whole: bool) -> Iterator[str]:
        """What was added since the last call, as lines; ``whole`` leaves a line that has no end yet.

        A line longer than ``BLOCK`` comes in pieces.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._at)
            while block := file.read(BLOCK):
                at_end = len(block) < BLOCK
                used = len(block) if at_end and not whole else block.rfind(b"\n") + 1
                if at_end and not used:
                    return
                used = used or len(block)
                yield from block[:used].decode(errors="replace").splitlines()
                self._at += used
                file.seek(self._at)
