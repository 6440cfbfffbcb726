"""End a command's process without Python's own teardown, which takes seconds once torch is loaded."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn


def end_process(code: int) -> NoReturn:
    """Run the exit hooks, flush stdout and stderr, and end this process with the exit ``code``.

    Only for the last line of a command: threads are not waited for, and no ``finally`` block runs any more.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - temporary folders are removed there; nothing public runs them
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
