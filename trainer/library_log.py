"""Sends the output of libraries to the log file, not to the user."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def use_all_threads() -> None:
    """Let torch use every CPU that this process may run on, unless OMP_NUM_THREADS is set."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        # Not every system has CPU affinity.
        mine = getattr(os, "sched_getaffinity", None)
        torch.set_num_threads(len(mine(0)) if mine else os.cpu_count() or 1)


@contextmanager
def library_output_to(log: Path) -> Iterator[None]:
    """Within the context, send file descriptor 2, logging and warnings to ``log``."""
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
