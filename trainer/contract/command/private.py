"""What a process of ours leaves to nobody else: no memory on a disk, no file that anyone may change."""

import os
import resource

OTHERS_WRITE = 0o002
OTHERS = 0o077


def keep_private() -> None:
    """Write no core dump, and nothing that any user may write to; children inherit both.

    A core dump has every secret of the process in it, and in a pod lies on the mount that outlives it.
    A journal is trusted by whoever reads it next, also where the umask is 000. A stricter umask stays.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    os.umask(os.umask(OTHERS) | OTHERS_WRITE)
