"""Seccomp: BPF programs in the kernel that refuse the system calls of ``syscalls.DENIED``.

Two programs, because a filter is never taken back: the server enters the outer one, which leaves it
able to fork, and each child adds the inner one. A child so pays for the short program only.
Refused calls fail with EPERM, so a cell sees an ordinary PermissionError. A call made in another
architecture's convention ends the process. README.md explains why libseccomp is not used.
"""

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Sequence
from functools import cache
from typing import Literal

from datagen.sandbox.isolation import syscalls

Stage = Literal["outer", "inner"]

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; little endian
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


class Filter:
    """One of the two programs, made once, then entered by process after process."""

    def __init__(self, stage: Stage) -> None:
        code = program(platform.machine(), stage) if sys.platform.startswith("linux") else None
        self._enter = ctypes.CDLL(None, use_errno=True).prctl
        self._program = code and _Program(len(code) // 8, code)

    def enter(self) -> bool:
        """Install it for good; whether it is in force. ``no_new_privs`` must have been set."""
        if not self._program:
            return False
        pointer = ctypes.byref(self._program)
        return int(self._enter(_SET_SECCOMP, _MODE_FILTER, pointer, 0, 0)) == 0


@cache
def program(machine: str, stage: Stage) -> bytes | None:
    """Return the filter for ``machine`` (``platform.machine()``), or None where there is no table."""
    if machine not in _ARCHITECTURES:
        return None
    architecture, column = _ARCHITECTURES[machine]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, architecture, yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        *(_newer_calls(column) if stage == "outer" else _judged_by_arguments(column)),
    ]
    for name, numbers in sorted(syscalls.DENIED.items()):
        number = numbers[column]
        if number is not None and (name in syscalls.SERVER_NEEDS) == (stage == "inner"):
            steps += [_step(_EQUAL, number, no=1), _REFUSE]
    return b"".join([*steps, _PASS])


def _newer_calls(column: int) -> list[bytes]:
    absent = _step(_RETURN, _ERRNO | errno.ENOSYS)
    return [
        _step(_AT_LEAST, _X32, no=1),
        _step(_RETURN, _KILL),
        _step(_AT_LEAST, syscalls.NEWEST + 1, no=1),
        absent,
        # glibc tries clone3 first; its flags lie in memory that a filter cannot read.
        _step(_EQUAL, syscalls.CLONE3[column], no=1),
        absent,
    ]


def _judged_by_arguments(column: int) -> list[bytes]:
    return [
        *(
            step
            for numbers, commands in syscalls.SIGNALLING.items()
            for step in _without(numbers[column], commands)
        ),
        # A thread may be made, a process not.
        _step(_EQUAL, syscalls.CLONE[column], no=4),
        _step(_LOAD, _ARGUMENTS),
        _step(_ANY_BIT, _CLONE_THREAD, yes=1),
        _REFUSE,
        _PASS,
        # Limits may be read, not set: the third argument is the new limit.
        _step(_EQUAL, syscalls.PRLIMIT[column], no=6),
        _step(_LOAD, _ARGUMENTS + 2 * 8),
        _step(_EQUAL, 0, no=2),
        _step(_LOAD, _ARGUMENTS + 2 * 8 + 4),
        _step(_EQUAL, 0, yes=1),
        _REFUSE,
        _PASS,
    ]


def _without(number: int, commands: Sequence[int]) -> list[bytes]:
    """Refuse a call whose second argument, of 32 bits, is one of these."""
    refused = [part for command in commands for part in (_step(_EQUAL, command, no=1), _REFUSE)]
    body = [_step(_LOAD, _ARGUMENTS + 8), *refused, _PASS]
    return [_step(_EQUAL, number, no=len(body)), *body]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


_REFUSE = _step(_RETURN, _ERRNO | errno.EPERM)
_PASS = _step(_RETURN, _ALLOW)
