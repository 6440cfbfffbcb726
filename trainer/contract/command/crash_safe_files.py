"""Files that survive a crash and a full disk: append-only files of lines with one writer."""

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from trainer.contract.command.errors import Locked

TAIL_BLOCK = 64 * 1024


def open_locked(path: Path) -> FileIO:
    """Open a file to append to it, with a lock; create it and its folder if they are missing.

    Raises ``Locked`` while another process has it open in this way.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Locked(
            f"{path}: another process is writing to it",
            "wait until that process ends, or choose another output folder",
        ) from None
    sync_folder(path.parent)
    return file


def append(file: FileIO, lines: bytes, *, fsync: bool = True) -> int:
    """Write whole lines and return their position; after an ``OSError`` the file is as before."""
    at = file.seek(0, os.SEEK_END)
    rest = memoryview(lines)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        if fsync:
            os.fsync(file.fileno())
    except OSError:
        file.truncate(at)
        raise
    return at


def cut_torn_line(file: FileIO) -> bytes:
    """Truncate after the last newline; return the last whole line, empty if the file has no line."""
    start = size = file.seek(0, os.SEEK_END)
    tail = b""
    while start and tail.count(b"\n") < 2:
        length = min(TAIL_BLOCK, start)
        start -= length
        tail = os.pread(file.fileno(), length, start) + tail
    whole = tail[: tail.rfind(b"\n") + 1]
    if start + len(whole) < size:
        file.truncate(start + len(whole))
    return whole[:-1].rsplit(b"\n", 1)[-1]


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on disk, so that a new file's name survives a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some network file systems refuse this for a folder
        os.fsync(fd)
    os.close(fd)
