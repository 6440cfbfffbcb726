"""Landlock: the kernel denies this process every file outside a few read-only folders.

Unprivileged, Linux 5.13 and newer; https://docs.kernel.org/userspace-api/landlock.html. Landlock
does not cover changes of mode, owner, times or extended attributes; ``seccomp`` denies those.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on x86_64 and aarch64
_GET_ABI = 1
_PATH_BENEATH = 1

_READ_BELOW = (1 << 2) | (1 << 3)  # READ_FILE, READ_DIR
_READ_WRITE = (1 << 2) | (1 << 1)  # READ_FILE, WRITE_FILE
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_RIGHTS = 0b11  # bind and connect TCP, from ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, from ABI 6

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


class Ruleset:
    """Reading below ``readable``, the null device, nothing else: built once, entered by many processes.

    Each process that enters is in a separate domain: it cannot trace the others, nor signal them
    or reach their abstract sockets where the kernel knows these scopes.
    """

    def __init__(self, readable: Iterable[str]) -> None:
        self._fd = _build(readable) if sys.platform.startswith("linux") else -1

    def enter(self) -> bool:
        """Deny this process and its descendants all else; whether that is now in force.

        ``no_new_privs`` must have been set.
        """
        return self._fd >= 0 and _syscall(_RESTRICT_SELF, self._fd, 0) == 0


def _build(readable: Iterable[str]) -> int:
    abi = _syscall(_CREATE_RULESET, None, 0, _GET_ABI)
    if abi < 1:
        return -1
    files = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= abi)]
    # An older kernel takes the longer struct as long as what it does not know is zero.
    attributes = struct.pack("=QQQ", files, _NET_RIGHTS * (abi >= 4), _SCOPES * (abi >= 6))
    ruleset = _syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset >= 0:
        for path in readable:
            _allow(ruleset, path, _READ_BELOW)
        _allow(ruleset, os.devnull, _READ_WRITE)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there: nothing to allow
    try:
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *words))
