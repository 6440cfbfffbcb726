"""Reports slow work: a line after two seconds, then one every ten."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

FIRST_SECONDS, NEXT_SECONDS = 2.0, 10.0


@contextmanager
def telling(
    what: Callable[[], str], out: TextIO | None = None, *, first: float = FIRST_SECONDS
) -> Iterator[None]:
    """While the block runs longer than `first` seconds, write `what` and its time to `out` (default: stderr).

    `what` is called from another thread.
    """
    out = out or sys.stderr
    over = threading.Event()

    def tell() -> None:
        started, pause = time.monotonic(), first
        while not over.wait(pause):
            out.write(f"{what()}: {time.monotonic() - started:.0f} s\n")
            out.flush()
            pause = NEXT_SECONDS

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
