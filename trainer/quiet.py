"""Libraries talk into the log file, not to the user; the one place that sets their environment."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "true",
    # OpenMP's threads wait by spinning; with anything else at work on the same cores that made small
    # models five to ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def prepare_environment() -> None:
    """Set what libraries read when they are imported; call before the first heavy import."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "WORLD_SIZE" not in os.environ:
        # One process drives one card; without this TRL refuses a machine with several.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def use_all_threads() -> None:
    """Let torch use every CPU this process may run on, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        # Not every system knows of affinity.
        mine = getattr(os, "sched_getaffinity", None)
        torch.set_num_threads(len(mine(0)) if mine else os.cpu_count() or 1)


def import_bitsandbytes() -> None:
    """Import bitsandbytes without its question to the hub for a CPU kernel.

    On some CPUs it asks at import time, for seconds and for code that nothing here pins; without the
    kernel its own code does the same.
    """
    kept = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        import bitsandbytes  # noqa: F401
    finally:
        del sys.modules["kernels"]
        if kept is not None:
            sys.modules["kernels"] = kept


@contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """Send file descriptor 2, logging and warnings to ``log`` for a while."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(target, 2)
    os.close(target)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            logging.captureWarnings(capture=True)
            yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        handler.close()
        os.dup2(kept, 2)
        os.close(kept)
