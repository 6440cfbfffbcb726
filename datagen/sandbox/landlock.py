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

_READ = (1 << 2) | (1 << 3)  # READ_FILE, READ_DIR
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_RIGHTS = 0b11  # bind and connect TCP, from ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, from ABI 6


def restrict(readable: Iterable[str]) -> bool:
    """Deny this process and its descendants all files but reading below ``readable``.

    Returns whether that is now in force. ``no_new_privs`` must have been set.
    """
    if not sys.platform.startswith("linux"):
        return False
    abi = _syscall(_CREATE_RULESET, None, 0, _GET_ABI)
    if abi < 1:
        return False
    files = _FILE_RIGHTS[max(known for known in _FILE_RIGHTS if known <= abi)]
    # An older kernel takes the longer struct as long as what it does not know is zero.
    attributes = struct.pack("=QQQ", files, _NET_RIGHTS * (abi >= 4), _SCOPES * (abi >= 6))
    ruleset = _syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        return _syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return  # not there: nothing to allow
    try:
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", _READ, folder), 0)
    finally:
        os.close(folder)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return int(call(ctypes.c_long(number), *words))
