"""What system tests fetch once and keep: in the user's cache, whole or not there at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` in the cache; `make` fills it, the first time, under another name."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = base / "sft-launch-system" / name
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            make(Path(scratch) / "made")
            (Path(scratch) / "made").rename(made)
    return made
