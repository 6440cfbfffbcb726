"""Files that survive a crash and a full disk.

Append-only files of lines with one writer, and files that are replaced whole or not at all.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
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


@contextmanager
def replacing(path: Path, *, fsync: bool = True) -> Iterator[BufferedWriter]:
    """Open a new file, which takes the place of ``path`` if the block ends without an error.

    A reader finds the old file or the whole new one. ``fsync``: so it does after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with _open_alone(new) as file:
        try:
            yield file
            file.flush()
            if fsync:
                os.fsync(file.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    if fsync:
        sync_folder(path.parent)


def _open_alone(path: Path) -> BufferedWriter:
    """Open an empty file that no other process writes to; wait for one that does."""
    import fcntl

    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "wb")
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                file.truncate()
                return file
        file.close()  # it took the place of another file meanwhile


def write_whole(path: Path, content: str | bytes, *, fsync: bool = True) -> Path:
    """Write a file whole or not at all (see ``replacing``); return ``path``."""
    with replacing(path, fsync=fsync) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on disk, so that a new file's name survives a power cut."""
    with suppress(OSError):  # some network file systems refuse this for a folder
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
