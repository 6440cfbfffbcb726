"""Frames between client, server and episode child: a length, then JSON.

Plain ``read`` and ``write`` on descriptors: an episode child may make no socket call.
"""

import array
import json
import os
import select
import socket
import struct
import time
from typing import Any

HEADER = struct.Struct(">I")
MAX_BYTES = 8 * 1024 * 1024


class BrokenFrameError(Exception):
    """The other end is gone, or what it sent is not a frame."""


def write_frame(fd: int, message: object, *, deadline: float | None = None) -> None:
    """Write one frame. Raises BrokenFrameError, or TimeoutError past ``deadline`` (``time.monotonic``)."""
    rest = memoryview(_encode(message))
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            wait(fd, select.POLLOUT, deadline)
        except OSError as error:
            raise BrokenFrameError(str(error)) from None


def read_frame(fd: int, *, deadline: float | None = None) -> Any:
    """Read one frame. Raises BrokenFrameError, or TimeoutError past ``deadline`` (``time.monotonic``)."""
    return _decode(_read(fd, _length(_read(fd, HEADER.size, deadline)), deadline))


def write_frame_with_fd(control: socket.socket, message: object, fd: int) -> None:
    """Write one small frame with a descriptor; raises BrokenFrameError when it does not fit at once."""
    data = _encode(message)
    try:
        sent = socket.send_fds(control, [data], [fd])
    except OSError as error:
        raise BrokenFrameError(str(error)) from None
    if sent != len(data):
        raise BrokenFrameError("the other end does not read")


def read_frame_with_fd(
    control: socket.socket, *, deadline: float | None = None
) -> tuple[Any, int | None]:
    """Read one frame and the descriptor that came with it, if any.

    Raises BrokenFrameError, or TimeoutError past ``deadline`` (``time.monotonic``).
    """
    size = array.array("i").itemsize
    wait(control.fileno(), select.POLLIN, deadline)
    try:
        header, ancillary, _, _ = control.recvmsg(HEADER.size, socket.CMSG_SPACE(size))
    except OSError as error:
        raise BrokenFrameError(str(error)) from None
    fd = None
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(data) >= size:
            fd = array.array("i", data[:size])[0]
    if not header:
        raise BrokenFrameError("the other end is closed")
    header += _read(control.fileno(), HEADER.size - len(header), deadline)
    return _decode(_read(control.fileno(), _length(header), deadline)), fd


def pending(fd: int, seconds: float | None = 0) -> bool:
    """Whether something can be read, or the other end is gone; waits so long, None for ever."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _encode(message: object) -> bytes:
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes; the limit is {MAX_BYTES}")
    return HEADER.pack(len(body)) + body


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BrokenFrameError(f"not a frame: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _length(header: bytes) -> int:
    (length,) = HEADER.unpack(header)
    if length > MAX_BYTES:
        raise BrokenFrameError("a frame too long to be one")
    return int(length)


def _read(fd: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if deadline is not None:
            wait(fd, select.POLLIN, deadline)
        try:
            part = os.read(fd, min(size, 1 << 20))
        except BlockingIOError:
            wait(fd, select.POLLIN, deadline)
            continue
        except OSError as error:
            raise BrokenFrameError(str(error)) from None
        if not part:
            raise BrokenFrameError("the other end is closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def wait(fd: int, event: int, deadline: float | None) -> None:
    """Wait for an event of ``select.poll``; raises TimeoutError past ``deadline``."""
    poll = select.poll()
    poll.register(fd, event)
    left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(left):
        raise TimeoutError
