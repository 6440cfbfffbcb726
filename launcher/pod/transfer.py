"""Copy files to and from a pod over an unreliable link; no byte is lost or repeated, each file is verified."""

import hashlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from launcher.errors import ConnectionLost, PodRefused
from launcher.ssh import Session
from trainer.contract.command.errors import NotFound, ResultRejected
from trainer.contract.manifest import AGAIN, File, hash_file

T = TypeVar("T")
BLOCK = 1 << 18
PART = ".part"
HASHING = 600.0
_HASHED = re.compile(r"(?P<sha256>[0-9a-f]{64}) (?P<size>\d+) (?P<name>.+)")


class Link:
    """A connection that is made again when it breaks, for as long as the caller wants.

    ``dial`` connects; it may look up a new port each time. ``lost`` is called after every loss: it waits
    and returns for another try, or raises.
    """

    def __init__(self, dial: Callable[[], Session], lost: Callable[[ConnectionLost], None]) -> None:
        self._dial = dial
        self._lost = lost
        self._session: Session | None = None

    def ask(self, work: Callable[[Session], T]) -> T:
        """Do ``work``, again from its start after each loss; repeating it must be safe."""
        while True:
            try:
                if self._session is None:
                    self._session = self._dial()
                return work(self._session)
            except ConnectionLost as fault:
                self.close()
                self._lost(fault)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def mirror(link: Link, remote: str, local: Path) -> int:
    """Append to ``local`` what the pod's growing file has beyond it; return how many bytes.

    ``local`` is a byte prefix of ``remote`` at any time. 0 also while the file is not there yet.
    """
    before = _size(local)

    def copy(session: Session) -> None:
        with local.open("ab") as file:
            for data in session.stream(remote, _size(local)):
                file.write(data)
                file.flush()

    try:
        link.ask(copy)
    except NotFound:
        if before:
            raise ResultRejected(f"the pod no longer has {remote}") from None
    return _size(local) - before


def upload(
    link: Link, source: Path, folder: str, *, sent: Callable[[int], None] = lambda _: None
) -> str:
    """Bring a file into the pod's ``folder`` under its SHA-256 as its name; return the path there.

    It has that name only once it is whole and verified there. What is there already is not sent again,
    half a file is continued. ``sent`` hears the number of bytes as they go.
    """
    whole = hash_file(source)
    target = f"{folder}/{whole.sha256}"
    part = target + PART

    def bring(session: Session) -> None:
        if session.size(target) == whole.size:
            return
        for _ in range(2):
            there = session.size(part) or 0
            if there > whole.size:
                there = 0
            session.send(part, _pieces(source, there, sent), append=there > 0)
            if session.sha256(part) == whole.sha256:
                session.rename(part, target)
                return
            session.send(part, ())
        raise PodRefused(
            f"{source}: the copy in the pod has another SHA-256, twice",
            "check that nothing writes to the file, then try again",
        )

    link.ask(bring)
    return target


def _pieces(source: Path, offset: int, sent: Callable[[int], None]) -> Iterator[bytes]:
    with source.open("rb") as file:
        file.seek(offset)
        while data := file.read(BLOCK):
            yield data
            sent(len(data))


def hashes(link: Link, folder: str, names: Sequence[str]) -> dict[str, File]:
    """Size and SHA-256, computed in the pod, of every file below ``names`` in its ``folder``.

    What is not there is left out.
    """
    command = (
        f"cd {shlex.quote(folder)} && find {shlex.join(names)} -type f 2>/dev/null | "
        'while read -r f; do printf "%s %s %s\\n" "$(sha256sum < "$f" | cut -c1-64)" '
        '"$(stat -c %s "$f")" "$f"; done'
    )
    told = link.ask(lambda session: session.run(command, timeout=HASHING))
    found = filter(None, map(_HASHED.fullmatch, told.stdout.decode().splitlines()))
    return {
        one["name"].removeprefix("./"): File(size=int(one["size"]), sha256=one["sha256"])
        for one in found
    }


def download(
    link: Link,
    root: str,
    folder: Path,
    files: Mapping[str, File],
    *,
    at_once: int = 4,
    got: Callable[[int], None] = lambda _: None,
) -> None:
    """Bring ``files`` (paths relative to ``root`` and to ``folder``) to this machine, several at a time.

    Each is written beside its place and renamed into it once size and SHA-256 are right; half a file
    is continued, also by a later process. ``got`` hears the number of bytes, from several threads.
    Raises ``ResultRejected`` when a file arrives wrong twice or its path leaves ``folder``.
    """
    outside = [
        name for name in files if PurePosixPath(name).is_absolute() or ".." in name.split("/")
    ]
    if outside:
        raise ResultRejected(
            f"the pod's list of files has a path outside the run folder: {outside[0]}"
        )

    def pass_over(session: Session) -> None:
        with ThreadPoolExecutor(at_once) as pool:
            todo = [
                pool.submit(_fetch, session, f"{root}/{name}", folder / name, file, got)
                for name, file in sorted(files.items(), key=lambda item: -item[1].size)
            ]
            try:
                for each in todo:
                    each.result()
            except BaseException:
                session.close()  # ends the others, whose result would not be looked at
                pool.shutdown(cancel_futures=True)
                raise

    link.ask(pass_over)


def _fetch(
    session: Session, remote: str, local: Path, file: File, got: Callable[[int], None]
) -> None:
    if local.is_file() and hash_file(local) == file:
        return
    part = local.with_name(local.name + PART)
    local.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        if _size(part) > file.size:
            part.unlink()
        digest = hashlib.sha256()
        with part.open("a+b") as target:
            target.seek(0)
            while data := target.read(BLOCK):
                digest.update(data)
            for data in session.stream(remote, target.tell()):
                target.write(data)
                digest.update(data)
                got(len(data))
            target.flush()
            os.fsync(target.fileno())
        if _size(part) == file.size and digest.hexdigest() == file.sha256:
            part.replace(local)
            return
        part.unlink()
    raise ResultRejected(f"{remote}: size or SHA-256 differs from the manifest, twice", AGAIN)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
