"""Identifies a table by its rows, so that a copy with the rows in another order is the same table."""

from __future__ import annotations

import hashlib
from pathlib import Path


def rows_sha256(path: Path, sha256: str) -> str | None:
    """A hash of the file's lines that is the same in every order: the sum of each line's SHA-256.

    None where the file is missing, or its content is not that of `sha256`.
    """
    content, total = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            for line in file:
                content.update(line)
                if row := line.rstrip(b"\r\n"):
                    total += int.from_bytes(hashlib.sha256(row).digest())
    except OSError:
        return None
    return f"{total % 2**256:064x}" if content.hexdigest() == sha256 else None
