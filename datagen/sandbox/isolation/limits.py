"""Restrict a server and each of its episode children, so that untrusted code cannot do harm."""

import contextlib
import ctypes
import os
import resource
import site
import socket
import struct
import sys
import sysconfig
import zoneinfo
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datagen.sandbox.isolation import landlock, seccomp
from datagen.sandbox.messages import Level

_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_OPEN_FILES = 64

_LIBC = ctypes.CDLL(None, use_errno=True)
_LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """What to take away: everything possible when ``level`` is None, else exactly that level.

    ``memory_bytes`` is address space beyond what the server has.
    """

    level: Level | None
    memory_bytes: int
    cpu_seconds: int


class Confinement:
    """The restrictions of one server and its children, prepared once.

    ``enter_server`` comes before the first fork, ``enter_child`` first of all in each child.
    """

    def __init__(self, plan: Restrictions) -> None:
        self._plan = plan
        self._address_space = 0
        self._statm = -1
        with contextlib.suppress(OSError):
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        everything = plan.level in {None, "full"}
        self._ruleset = landlock.Ruleset(readable_folders()) if everything else None
        self._outer = seccomp.Filter("outer") if everything else None
        self._inner = seccomp.Filter("inner") if everything else None
        self._layers: set[str] = set()

    def enter_server(self) -> None:
        """Restrict this process, which continues to fork and needs only Python's files."""
        self.measure()
        if self._plan.level == "none":
            return
        drop_privileges()
        if _set_limits(self._for_all()):
            self._layers.add("rlimits")
        if self._ruleset is not None and self._ruleset.enter():
            self._layers.add("landlock")
        if self._outer is not None and self._outer.enter():
            self._layers.add("seccomp")

    def measure(self) -> None:
        """Take what address space the server has now as the base of its children's."""
        pages = os.pread(self._statm, 64, 0).split()[0] if self._statm >= 0 else b"0"
        self._address_space = int(pages) * resource.getpagesize()

    def enter_child(self) -> frozenset[str]:
        """Restrict this process for good; the layers now in force: rlimits, landlock, seccomp."""
        if self._plan.level == "none":
            return frozenset()
        die_with_parent()
        layers = set(self._layers)
        if not _set_limits(self._for_child()):
            layers.discard("rlimits")
        if self._ruleset is not None and not self._ruleset.enter():
            layers.discard("landlock")
        if self._inner is not None and not self._inner.enter():
            layers.discard("seccomp")
        return frozenset(layers)

    def _for_all(self) -> dict[int, int]:
        limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
        limits[resource.RLIMIT_NOFILE] = _OPEN_FILES
        if _LINUX:
            limits[resource.RLIMIT_MSGQUEUE] = 0
        return limits

    def _for_child(self) -> dict[int, int]:
        limits = {resource.RLIMIT_CPU: self._plan.cpu_seconds}
        if _LINUX:
            limits[resource.RLIMIT_AS] = self._address_space + self._plan.memory_bytes
        if "seccomp" not in self._layers:
            # Also stops threads, and root is exempt: seccomp distinguishes the two and is preferred.
            limits[resource.RLIMIT_NPROC] = 0
        return limits


def layers_in_force(layers: Iterable[str]) -> frozenset[str]:
    """Return the layers of ``layers`` that hold when tried: a claim is not a level."""
    tries: dict[str, Callable[[], bool]] = {
        "rlimits": lambda: _refuses(lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1))),
        "landlock": lambda: _refuses(lambda: list(Path("/").iterdir())),
        "seccomp": lambda: (
            _refuses(lambda: socket.socket().close())  # the outer filter
            and _refuses(lambda: os.kill(os.getpid(), 0))  # the inner one
        ),
    }
    return frozenset(layer for layer in layers if tries[layer]())


def level_of(layers: Iterable[str]) -> Level:
    """Return ``full`` for Landlock and seccomp, ``reduced`` for less, ``none`` for nothing at all."""
    found = frozenset(layers)
    if found == {"rlimits", "landlock", "seccomp"}:
        return "full"
    return "reduced" if found else "none"


def readable_folders() -> tuple[str, ...]:
    """Return the folders that Python, its packages and their libraries are read from, resolved.

    Neither the project's own folder nor the tables are among them.
    """
    paths = sysconfig.get_paths()
    found = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), *zoneinfo.TZPATH, *_LIBRARIES]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return tuple(sorted({str(Path(path).resolve()) for path in found if Path(path).is_dir()}))


def drop_privileges() -> None:
    """Give up every capability, so that root in here is a user like any other."""
    if not _LINUX:
        return
    _prctl(_SET_NO_NEW_PRIVS, 1)
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
        _LIBC.syscall(ctypes.c_long(number), header, bytes(24))


def die_with_parent() -> None:
    if _LINUX:
        _prctl(_SET_PDEATHSIG, _SIGKILL)


def _set_limits(wanted: dict[int, int]) -> bool:
    try:
        for kind, limit in wanted.items():
            resource.setrlimit(kind, (limit, limit))
    except (OSError, ValueError):
        return False
    return True


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused")


def _refuses(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, ValueError):
        return True
    return False
