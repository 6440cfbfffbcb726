"""Seccomp: a BPF program in the kernel that refuses the system calls of ``syscalls.DENIED``.

Refused calls fail with EPERM, so a cell sees an ordinary PermissionError. A call made in another
architecture's convention ends the process.
"""

import ctypes
import errno
import platform
import struct
import sys
from functools import cache

from datagen.sandbox import syscalls

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; little endian
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


@cache
def program(machine: str) -> bytes | None:
    """Return the filter for ``machine`` (``platform.machine()``), or None where there is no table."""
    if machine not in _ARCHITECTURES:
        return None
    architecture, column = _ARCHITECTURES[machine]
    denied = sorted(
        number for numbers in syscalls.DENIED.values() if (number := numbers[column]) is not None
    )
    refuse = _step(_RETURN, _ERRNO | errno.EPERM)
    allow = _step(_RETURN, _ALLOW)
    absent = _step(_RETURN, _ERRNO | errno.ENOSYS)
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, no=1),
        _step(_RETURN, _KILL),
        _step(_AT_LEAST, syscalls.NEWEST + 1, no=1),
        absent,
        # glibc tries clone3 first; its flags lie in memory that a filter cannot read.
        _step(_EQUAL, syscalls.CLONE3[column], no=1),
        absent,
        # A thread may be made, a process not.
        _step(_EQUAL, syscalls.CLONE[column], no=4),
        _step(_LOAD, _ARGUMENTS),
        _step(_ANY_BIT, _CLONE_THREAD, yes=1),
        refuse,
        allow,
        # Limits may be read, not set: the third argument is the new limit.
        _step(_EQUAL, syscalls.PRLIMIT[column], no=6),
        _step(_LOAD, _ARGUMENTS + 2 * 8),
        _step(_EQUAL, 0, no=2),
        _step(_LOAD, _ARGUMENTS + 2 * 8 + 4),
        _step(_EQUAL, 0, yes=1),
        refuse,
        allow,
    ]
    for number in denied:
        steps += [_step(_EQUAL, number, no=1), refuse]
    return b"".join([*steps, allow])


def apply() -> bool:
    """Install the filter for good; whether it is in force. ``no_new_privs`` must have been set."""
    code = program(platform.machine()) if sys.platform.startswith("linux") else None
    if code is None:
        return False
    filter_ = _Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return int(prctl(_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0)) == 0


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
