"""Takes away from an episode child, before it runs a stranger's code, what it does not need."""

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

from datagen.sandbox import landlock, seccomp
from datagen.sandbox.result import Level

_SET_PDEATHSIG, _SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_OPEN_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to take away: everything possible when ``level`` is None, else exactly that level."""

    level: Level | None
    address_space: int
    cpu_seconds: int
    readable: tuple[str, ...]


def harden(plan: Plan) -> frozenset[str]:
    """Restrict this process for good; the layers now in force: rlimits, landlock, seccomp."""
    if plan.level == "none":
        return frozenset()
    _drop_privileges()
    _die_with_parent()
    layers = set()
    if _set_rlimits(plan):
        layers.add("rlimits")
    if plan.level != "reduced":
        if landlock.restrict(plan.readable):
            layers.add("landlock")
        if seccomp.apply():
            layers.add("seccomp")
    return frozenset(layers)


def observed(layers: Iterable[str]) -> frozenset[str]:
    """Return the layers of ``layers`` that hold when tried: a claim is not a level."""
    tries: dict[str, Callable[[], bool]] = {
        "rlimits": lambda: _refuses(lambda: resource.setrlimit(resource.RLIMIT_CORE, (1, 1))),
        "landlock": lambda: _refuses(lambda: list(Path("/").iterdir())),
        "seccomp": lambda: _refuses(lambda: socket.socket().close()),
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


def address_space() -> int:
    """Return the bytes of address space this process has now, or 0 where that cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _set_rlimits(plan: Plan) -> bool:
    wanted = {
        resource.RLIMIT_CPU: plan.cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform.startswith("linux"):
        wanted[resource.RLIMIT_AS] = plan.address_space
        wanted[resource.RLIMIT_MSGQUEUE] = 0
    try:
        for kind, limit in wanted.items():
            resource.setrlimit(kind, (limit, limit))
    except (OSError, ValueError):
        return False
    if plan.level == "reduced":
        # Also stops threads, and root is exempt: seccomp tells the two apart and is preferred.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return True


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        _prctl(_SET_PDEATHSIG, _SIGKILL)


def _drop_privileges() -> None:
    """Give up every capability, so that root in here is a user like any other."""
    if not sys.platform.startswith("linux"):
        return
    _prctl(_SET_NO_NEW_PRIVS, 1)
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
        syscall = ctypes.CDLL(None, use_errno=True).syscall
        syscall(ctypes.c_long(number), header, bytes(24))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused")


def _refuses(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, ValueError):
        return True
    return False
