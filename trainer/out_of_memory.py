"""Running out of memory: how it is recognised, and the fault that says where, how much, and what to change."""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trainer import device, free_memory
from trainer.contract.command.errors import Fault, TrainingFailed

# In the texts of torch's allocators, CUDA, cuBLAS, cuDNN and its kin, NCCL, safetensors and mmap.
TEXTS = ("out of memory", "allocate memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
ASKED = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)
SMALLER = {"fp32": "bf16", "bf16": "nf4"}
MORE = "or take a device with more memory"


def recognised(error: BaseException) -> bool:
    """Say whether ``error``, or what it came from, means that memory ran out on a card or on the CPU."""
    if isinstance(error, Fault):
        return False
    return any(_is_one(cause) or any(map(_says_so, _hidden(cause))) for cause in _causes(error))


def _is_one(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    native = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return native and _says_so(str(error))


def _says_so(text: str) -> bool:
    return any(words in text for words in TEXTS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _hidden(error: BaseException) -> Iterator[str]:
    """What went wrong while transformers converted weights: its error names none of it."""
    trace = error.__traceback__ if isinstance(error, RuntimeError) else None
    while trace is not None:
        loading = trace.tb_frame.f_locals.get("loading_info")
        yield from map(str, (getattr(loading, "conversion_errors", None) or {}).values())
        trace = trace.tb_next


@contextmanager
def explained(where: str, hint: str, settings: Sequence[str] | None = ()) -> Iterator[None]:
    """Turn running out of memory, inside, into a fault that says ``where`` and what to change."""
    try:
        yield
    except Exception as error:
        if not recognised(error):
            raise
        raise fault(where, hint, settings, error) from None


def fault(
    where: str, hint: str, settings: Sequence[str] | None = (), error: BaseException | None = None
) -> TrainingFailed:
    """The fault of memory that ran out ``where`` (``at step 3``); see ``Fault`` for the rest."""
    place = f" {where}" if where else ""
    return TrainingFailed(f"out of memory{place}: {numbers(error)}", hint, settings=settings)


def numbers(error: BaseException | None = None) -> str:
    """What is used and what there is on the device, and what ``error`` asked for."""
    asked = ASKED.search(str(error))
    more = f", {asked[1]} more asked for" if asked else ""
    return f"{_card() or _machine()}{more}"


def _card() -> str | None:
    if (found := device.card_use()) is None:
        return None
    used, total, name = found
    return f"{used / 1e9:.1f} of {total / 1e9:.1f} GB used on {name}"


def _machine() -> str:
    taken, left = free_memory.resident() or 0, free_memory.free()
    rest = "" if left is None else f", {left / 1e9:.1f} GB left on this machine"
    return f"this process takes {taken / 1e9:.1f} GB{rest}"


def advice(
    *, precision: str, recompute_every: int | None = None, sharded: bool = False
) -> tuple[str, tuple[str, ...]]:
    """What to change where smaller micro-batches do not help: a hint, and the settings of it.

    ``recompute_every`` is the plan's, None where recomputing does not help.
    """
    if recompute_every not in {1, None}:
        return f"recompute every layer (slower), {MORE}", ("plan.recompute=1",)
    smaller = SMALLER.get(precision)
    if smaller and not (sharded and smaller == "nf4"):
        settings = (f"precision={smaller}", "allow_precision_change=true")
        return f"hold the base in {smaller}, {MORE}", settings
    return "take a device with more memory", ()
