"""The device that a run trains on, and every choice that depends on it. No other module queries the device.

A test can make a ``Device`` whose ``kind`` is a card and whose ``place`` is the CPU: the run then makes the
choices for the card.
"""

import platform
import resource
import sys
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

CPU, CARD = "cpu", "cuda"
OLDEST_FLASH = (8, 0)  # compute capability of the flash attention kernel in torch


@dataclass(frozen=True, slots=True)
class Device:
    """``kind`` (cpu, cuda) decides how to train; ``place`` is torch's device for tensors.

    ``memory``: bytes of the card. ``flash``: it can run torch's flash attention kernel in 16 bits.
    """

    kind: str
    name: str
    memory: int | None = None
    flash: bool = False
    place: str = CPU

    @property
    def is_card(self) -> bool:
        return self.kind != CPU


@dataclass(frozen=True, slots=True)
class Numerics:
    """How a device computes in one precision (bf16, fp32, nf4).

    ``weights``: torch's dtype of weights that are not quantised. ``compute``: of products with quantised
    weights. ``autocast``: forward passes multiply matrices in bf16 for any input, so that PEFT need not copy
    each adapter's input to the adapter's dtype. ``flash``: attention is one flash call a micro-batch.
    ``pin_memory``: batches are copied from pinned memory.
    """

    precision: str
    place: str
    weights: str
    compute: str
    autocast: bool
    flash: bool
    pin_memory: bool

    def dtype(self, name: str) -> Any:
        import torch

        return getattr(torch, name)

    def context(self) -> AbstractContextManager[Any]:
        """Return the context for every forward pass; without ``autocast`` it does nothing."""
        import torch

        kind = self.place.partition(":")[0]
        autocast: AbstractContextManager[Any] = torch.autocast(
            kind, torch.bfloat16, enabled=self.autocast
        )
        return autocast


def here() -> Device:
    """Return the card of this process, or the CPU."""
    import torch

    if not torch.cuda.is_available():
        return Device(CPU, f"{CPU} {platform.machine()}")
    index = torch.cuda.current_device()
    card = torch.cuda.get_device_properties(index)
    return Device(
        CARD,
        str(card.name),
        int(card.total_memory),
        flash=torch.cuda.get_device_capability(index) >= OLDEST_FLASH,
        place=f"{CARD}:{index}",
    )


def numerics(device: Device, precision: str) -> Numerics:
    """Choose how ``device`` computes in ``precision``: a card in bf16 if it can, a CPU in fp32."""
    autocast = precision == "bf16" or (device.is_card and precision == "nf4")
    compute = "bfloat16" if autocast else "float32"
    return Numerics(
        precision=precision,
        place=device.place,
        weights="float32" if precision == "fp32" else compute,
        compute=compute,
        autocast=autocast,
        flash=device.flash and autocast,
        pin_memory=device.place != CPU,
    )


def describe() -> str:
    """Return the facts that decide which kernels torch uses, for a log."""
    import torch

    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, fp32 products in "
        f"{torch.backends.mkldnn.matmul.fp32_precision} on the CPU and "
        f"{torch.backends.cuda.matmul.fp32_precision} on a card\n{torch.__config__.show()}"
    )


def count_cards() -> int:
    """Return how many cards this process sees."""
    import torch

    return int(torch.cuda.device_count())


def use_card(index: int) -> None:
    """Make a card the current one of this process; without cards do nothing."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(index)


def empty_cache() -> None:
    """Free the card memory that torch reserves without using it."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def synchronize(place: str) -> None:
    """Wait until the card has finished all its work."""
    if place != CPU:
        import torch

        torch.cuda.synchronize(place)


def reset_peak(place: str) -> None:
    """Begin a new peak for ``peak_bytes``."""
    if place != CPU:
        import torch

        torch.cuda.reset_peak_memory_stats(place)


def peak_bytes(place: str) -> int:
    """Return the peak in bytes: of the card's allocator, or of this process's memory on a CPU."""
    if place == CPU:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    return int(torch.cuda.max_memory_allocated(place))


def card_use() -> tuple[int, int, str] | None:
    """Return used bytes, total bytes and name of this process's card; None without a card."""
    torch: Any = sys.modules.get("torch")
    # After some errors every CUDA call fails.
    with suppress(Exception):
        if torch is not None and torch.cuda.is_available():
            left, total = torch.cuda.mem_get_info()
            return int(total - left), int(total), str(torch.cuda.get_device_name())
    return None


def random_state() -> list[Any]:
    """Return the state of torch's random numbers here, for ``set_random_state``."""
    import torch

    cards = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *cards]


def set_random_state(state: list[Any]) -> None:
    """Restore what ``random_state`` returned."""
    import torch

    torch.set_rng_state(state[0])
    for card in state[1:]:
        torch.cuda.set_rng_state(card)
