"""The device a run trains on, and every choice that depends on it. Nothing else asks which device it is.

A test may make a ``Device`` whose ``kind`` is a card and whose ``place`` is the CPU: the run then makes
every choice that it would make on the card, without one.
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
    """``kind`` (cpu, cuda) decides how to train; ``place`` names where torch puts tensors.

    ``memory``: bytes of the card. ``flash``: it runs torch's flash attention kernel in 16 bits.
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

    ``weights``: torch's dtype of the weights that are not quantised. ``compute``: of products with quantised
    weights. ``autocast``: matrix products of forward passes are in bf16 whatever their inputs are; PEFT then
    need not copy each adapter's input to the adapter's dtype. ``flash``: attention is one flash call a
    micro-batch. ``pin_memory``: batches are copied from pinned memory.
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
        """Return the autocast that every forward pass runs in; without ``autocast`` it does nothing."""
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
    """Choose how ``device`` computes in ``precision``: a card in bf16 wherever it may, a CPU in fp32."""
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
    """Return what decides which kernels torch takes, for a log."""
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
    """Give back to the card what torch keeps of it without using it."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def synchronize(place: str) -> None:
    """Return when everything that was asked of the card is done."""
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
    """Return the bytes used and the bytes there are on this process's card, and its name; None without one."""
    torch: Any = sys.modules.get("torch")
    # After some errors CUDA answers nothing any more.
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
    """Put back what ``random_state`` returned."""
    import torch

    torch.set_rng_state(state[0])
    for card in state[1:]:
        torch.cuda.set_rng_state(card)
