"""How much memory this process can still take, limited by the machine or by its cgroups.

Standard library only. Sizes in bytes. A container's limit is that of its cgroup, version 1 or 2, or of one
above it. The page cache of files counts as free, as the kernel can drop it.
"""

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
# Limit, use, and the part of the use that is cache: cgroup version 2, then version 1.
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Return the bytes that this process can still take; None if unknown."""
    found = [*_fields(proc / "meminfo", "MemAvailable:"), *_limits(proc, cgroups)]
    return max(min(found), 0) if found else None


def resident(proc: Path = PROC) -> int | None:
    """Return the bytes of memory that this process takes."""
    return next(_fields(proc / "self" / "status", "VmRSS:"), None)


def _fields(path: Path, name: str) -> Iterator[int]:
    """The value of ``name`` in a file of lines ``name: 123 kB``."""
    for words in map(str.split, _lines(path)):
        if words[:1] == [name] and words[1:2] and words[1].isdigit():
            yield int(words[1]) * 1024


def _limits(proc: Path, cgroups: Path) -> Iterator[int]:
    """The memory left in this process's cgroup and in each one above it."""
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            top, names = cgroups, V2
        elif "memory" in controllers.split(","):
            top, names = cgroups / "memory", V1
        else:
            continue
        folder = top / path.strip("/")
        # In a container the path may be the host's, of which only the end is mounted, at the top.
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                yield from _left(place, *names)


def _left(folder: Path, limit: str, use: str, cache: str) -> Iterator[int]:
    most, used = _number(folder / limit), _number(folder / use)
    if most is not None and used is not None:
        stat = (line.split() for line in _lines(folder / "memory.stat"))
        cached = next((int(words[1]) for words in stat if words[:1] == [cache]), 0)
        yield most - used + cached


def _number(path: Path) -> int | None:
    """The number in a file; None for ``max``: unlimited."""
    text = "".join(_lines(path)[:1]).strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
