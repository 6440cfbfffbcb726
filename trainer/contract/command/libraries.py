"""How all packages load the heavy libraries: the settings they read at import, and one silent import.

Standard library only; nothing heavy is imported before ``import_bitsandbytes`` is called.
"""

import logging
import os
import sys
import warnings
from importlib import import_module
from typing import Any

SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",  # else it prints two lines for each retry
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "true",
    # OpenMP's threads wait by spinning; with other processes on the same cores that made small models
    # five to ten times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Micro-batches differ in length: without this the card's allocator keeps a block of every size.
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}
# Older names of a setting. If the user has set one, the new name is not set.
OLDER = {"PYTORCH_ALLOC_CONF": ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")}


def prepare_environment(*, one_card: bool = True) -> None:
    """Set what libraries read at import; call before the first heavy import.

    Without ``one_card`` all cards stay visible, so that they can be counted.
    """
    # PEFT 0.21 reads a property of transformers 5.24 by its old name, at each load of an adapter.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    for name, value in SETTINGS.items():
        if not any(older in os.environ for older in OLDER.get(name, ())):
            os.environ.setdefault(name, value)
    if one_card and "WORLD_SIZE" not in os.environ:
        # One process drives one card; without this TRL refuses a machine with several.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def import_bitsandbytes() -> None:
    """Import bitsandbytes without its download of a CPU kernel from the hub, and without torch's compiler.

    On some CPUs it downloads a kernel at import, which takes seconds and is not pinned; without the kernel
    its built-in code computes the same. It also calls ``torch.compile`` for functions that only a CPU
    runs, which imports the compiler (2 s); if that call fails, it takes the functions as they are.
    """
    torch: Any = import_module("torch")
    kept = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    compiler, torch.compile = torch.compile, None
    warnings_log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    warnings_log.disabled = True
    try:
        import_module("bitsandbytes")
    finally:
        warnings_log.disabled = False
        torch.compile = compiler
        del sys.modules["kernels"]
        if kept is not None:
            sys.modules["kernels"] = kept
