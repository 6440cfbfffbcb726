"""``launch logs``: a run's events and its trainer's output, as lines."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from launcher.runs import Run, is_locked
from launcher.view import line
from launcher.world import World
from trainer.contract import events

POLL = 0.3  # seconds


def lines(run: Run, *, follow: bool, as_json: bool, world: World) -> Iterator[str]:
    """Yield events, then the lines of train.log; with ``follow``, what comes until the run ends.

    ``as_json`` yields the events alone, each as its JSON line.
    """
    offset = at = 0
    while True:
        running = follow and (is_locked(run.trainer_lock) or is_locked(run.lock))
        seen, offset = events.read(run.events, offset)
        for event in seen:
            if as_json:
                yield event.model_dump_json()
            elif text := line(event):
                yield f"{datetime.fromtimestamp(event.time).astimezone():%H:%M:%S}  {text}"
        if not as_json:
            block, at = _more(run.log, at, whole=running)
            yield from (
                f"train.log | {text}" for text in block.decode(errors="replace").splitlines()
            )
        if not running:
            return
        world.sleep(POLL)


def _more(path: Path, at: int, *, whole: bool) -> tuple[bytes, int]:
    """What was added to a file since byte ``at``, up to the last whole line if that is wanted."""
    try:
        with path.open("rb") as file:
            file.seek(at, os.SEEK_SET)
            block = file.read()
    except FileNotFoundError:
        return b"", at
    if whole:
        block = block[: block.rfind(b"\n") + 1]
    return block, at + len(block)
