"""Whether a download over SSH is running, from the bytes that wait in the kernel for the other side."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"
# A keepalive or a poll for events sends less; a link that is the slowest part of a download has more waiting.
DOWNLOAD_BYTES = 4096


def is_running(port: int, tables: Sequence[Path] = TABLES) -> bool:
    """Say whether a connection to the local ``port`` has a download's bytes sent and not yet confirmed.

    False where the kernel's tables cannot be read. Their format: proc(5), /proc/net/tcp.
    """
    return any(_unconfirmed(table, port) > DOWNLOAD_BYTES for table in tables)


def _unconfirmed(table: Path, port: int) -> int:
    """Return the most bytes that wait on one established connection in ``table``."""
    most = 0
    with suppress(OSError, ValueError):
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, queues, _ = line.split(maxsplit=5)
            if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                most = max(most, int(queues.partition(":")[0], 16))
    return most
