"""Keeps a process private: no core dump on disk, no file that other users may write."""

import os
import resource

OTHERS_WRITE = 0o002
OTHERS = 0o077


def keep_private() -> None:
    """Write no core dump, and no file that other users may write; children inherit both.

    A core dump holds every secret of the process, and in a pod it stays on the volume. A journal is trusted
    by its next reader, so that others must not write to it even with umask 000. A stricter umask stays.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    os.umask(os.umask(OTHERS) | OTHERS_WRITE)
