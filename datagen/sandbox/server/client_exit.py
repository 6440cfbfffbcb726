"""Ends a server whose client goes away while it reads tables and no message."""

import contextlib
import fcntl
import os
import select
import signal
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def exit_with_client(control: socket.socket) -> Iterator[None]:
    """End this process as soon as the other end of ``control`` is closed, until the block ends.

    The kernel reports it with SIGIO (``F_SETOWN`` in ``man 2 fcntl``): a thread that waits for it would
    be there when the server forks, and a parent's death signal comes when the thread that started
    us ends, not when its process does.
    """
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    before = signal.signal(signal.SIGIO, lambda *_: _exit_if_closed(control))
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        _exit_if_closed(control)  # closed before the handler was set
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)
        signal.signal(signal.SIGIO, before)


def _exit_if_closed(control: socket.socket) -> None:
    poll = select.poll()
    poll.register(control, 0)
    if poll.poll(0):
        os._exit(1)
