"""Running out of memory: recognises it, and makes the fault with where, how much, and what to change."""

import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trainer import device, free_memory
from trainer.contract.command.errors import Fault, TrainingFailed

# In the errors of torch's allocators, CUDA, cuBLAS, cuDNN and related libraries, NCCL, safetensors and mmap.
TEXTS = ("out of memory", "allocate memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
REQUESTED = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)
SMALLER = {"fp32": "bf16", "bf16": "nf4"}
MORE = "or take a device with more memory"


def recognised(error: BaseException) -> bool:
    """Say whether ``error``, or its cause, means that memory ran out on a card or on the CPU."""
    if isinstance(error, Fault):
        return False
    return any(
        _matches(cause) or any(map(_text_matches, _hidden(cause))) for cause in _causes(error)
    )


def _matches(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    native = isinstance(error, RuntimeError) or type(error).__name__ == "SafetensorError"
    return native and _text_matches(str(error))


def _text_matches(text: str) -> bool:
    return any(words in text for words in TEXTS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _hidden(error: BaseException) -> Iterator[str]:
    """The errors of transformers' weight conversion, which its final error does not name."""
    trace = error.__traceback__ if isinstance(error, RuntimeError) else None
    while trace is not None:
        loading = trace.tb_frame.f_locals.get("loading_info")
        yield from map(str, (getattr(loading, "conversion_errors", None) or {}).values())
        trace = trace.tb_next


@contextmanager
def explained(where: str, hint: str, settings: Sequence[str] | None = ()) -> Iterator[None]:
    """Within the context, turn running out of memory into a fault with ``where`` and what to change."""
    try:
        yield
    except Exception as error:
        if not recognised(error):
            raise
        raise fault(where, hint, settings, error) from None


def fault(
    where: str, hint: str, settings: Sequence[str] | None = (), error: BaseException | None = None
) -> TrainingFailed:
    """Return the fault for memory that ran out ``where`` (``at step 3``); see ``Fault`` for the rest."""
    place = f" {where}" if where else ""
    return TrainingFailed(f"out of memory{place}: {numbers(error)}", hint, settings=settings)


def numbers(error: BaseException | None = None) -> str:
    """Return the device's used and total memory, and how much more ``error`` requested."""
    requested = REQUESTED.search(str(error))
    more = f", {requested[1]} more requested" if requested else ""
    if found := device.card_use():
        used, total, name = found
        return f"{used / 1e9:.1f} of {total / 1e9:.1f} GB used on {name}{more}"
    taken, left = free_memory.resident() or 0, free_memory.free()
    rest = "" if left is None else f", {left / 1e9:.1f} GB left on this machine"
    return f"this process takes {taken / 1e9:.1f} GB{rest}{more}"


def advice(
    *, precision: str, recompute_every: int | None = None, sharded: bool = False
) -> tuple[str, tuple[str, ...]]:
    """Return what to change if smaller micro-batches do not help: a hint, and its settings.

    ``recompute_every`` is the plan's; None if recomputing does not help.
    """
    if recompute_every not in {1, None}:
        return f"recompute every layer (slower), {MORE}", ("plan.recompute=1",)
    smaller = SMALLER.get(precision)
    if smaller and not (sharded and smaller == "nf4"):
        settings = (f"precision={smaller}", "allow_precision_change=true")
        return f"load the base in {smaller}, {MORE}", settings
    return "take a device with more memory", ()
