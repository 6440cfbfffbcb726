"""How both sides load the heavy libraries: settings they read at import time, and one quiet import.

Standard library only; nothing heavy is imported before ``import_bitsandbytes`` is called.
"""

import logging
import os
import sys
import warnings
from importlib import import_module

SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "true",
    # OpenMP's threads wait by spinning; with anything else at work on the same cores that made small
    # models five to ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Micro-batches differ in length: without it the card's allocator keeps a block of every size.
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}
# Older names of a setting. Where the user has given one, it stays alone.
OLDER = {"PYTORCH_ALLOC_CONF": ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")}


def prepare_environment(*, one_card: bool = True) -> None:
    """Set what libraries read when they are imported; call before the first heavy import.

    Without ``one_card`` every card is left to be seen: by one who wants to count them.
    """
    # PEFT 0.21 asks transformers 5.24 for a property by its old name, at each load of an adapter.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    for name, value in SETTINGS.items():
        if not any(older in os.environ for older in OLDER.get(name, ())):
            os.environ.setdefault(name, value)
    if one_card and "WORLD_SIZE" not in os.environ:
        # One process drives one card; without this TRL refuses a machine with several.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def import_bitsandbytes() -> None:
    """Import bitsandbytes without its question to the hub for a CPU kernel.

    On some CPUs it asks at import time, for seconds and for code that nothing here pins; without the
    kernel its own code does the same.
    """
    kept = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    complaints = logging.getLogger("bitsandbytes.backends.cpu.ops")
    complaints.disabled = True
    try:
        import_module("bitsandbytes")
    finally:
        complaints.disabled = False
        del sys.modules["kernels"]
        if kept is not None:
            sys.modules["kernels"] = kept
