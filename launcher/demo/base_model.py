"""The demo's base model: where it lies, and how this machine computes with it."""

from __future__ import annotations

from pathlib import Path

from launcher.world import World

CPU_FLAGS = Path("/proc/cpuinfo")
FAST_BF16 = frozenset({"amx_bf16", "avx512_bf16"})


def folder(world: World) -> Path:
    """The model folder; it need not exist yet."""
    return world.cache_folder() / "SmolLM2-135M-Instruct"


def fetch(world: World) -> Path:
    """Make the model folder unless it exists. Raises ``ModelUnavailable``."""
    made = folder(world)
    world.finish(world.python("trainer.demo_model", str(made)))
    return made


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 numbers itself: training is then half as fast again, and as good."""
    try:
        lines = CPU_FLAGS.read_text("utf-8").splitlines()
    except OSError:
        return False
    return any(FAST_BF16 & set(line.split()) for line in lines if line.startswith("flags"))
