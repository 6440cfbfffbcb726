"""Run a command, and end it and its children when stdin is closed.

However the one who started us ends, by a signal that cannot be caught too, the pipe closes.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

END_SECONDS = 20.0


def main(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    watch = threading.Thread(target=_end_with_stdin, args=(child.pid,), daemon=True)
    watch.start()
    code = child.wait()
    # Its workers are in its group.
    _signal(child.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _end_with_stdin(group: int) -> None:
    while os.read(0, 4096):
        pass
    _signal(group, signal.SIGTERM)
    time.sleep(END_SECONDS)
    _signal(group, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
