"""Running out of memory, as torch, CUDA's libraries, Python and the system say it."""

import errno

import pytest

from trainer import out_of_memory
from trainer.contract.command.errors import TrainingFailed
from trainer.device import Device, numerics

# As torch 2.13 raises them; the second from the report of a step that met it.
TEXTS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB of which ...",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
    "CUDA error: out of memory",
    "unable to mmap 9876 bytes from file <model.safetensors>: Cannot allocate memory (12)",
]


def caught(work):
    with pytest.raises(Exception) as found:  # noqa: PT011 - of several kinds
        work()
    return found.value


def too_much():
    import torch

    return torch.empty(2**60)


def test_torchs_own_allocator_and_pythons_are_recognised():
    """Real ones: more bytes than an address has."""
    on_the_cpu = caught(too_much)
    assert "DefaultCPUAllocator: can't allocate memory" in str(on_the_cpu)
    assert out_of_memory.recognised(on_the_cpu)
    assert out_of_memory.recognised(caught(lambda: bytearray(2**62)))
    assert out_of_memory.recognised(OSError(errno.ENOMEM, "Cannot allocate memory"))


@pytest.mark.parametrize("text", TEXTS)
def test_the_texts_of_a_cards_libraries_are_recognised(text):
    import torch

    assert out_of_memory.recognised(RuntimeError(text))
    assert out_of_memory.recognised(torch.OutOfMemoryError(text))


def test_what_came_of_it_is_recognised_and_other_errors_are_not():
    def wrapped():
        try:
            too_much()
        except RuntimeError as error:
            raise ValueError("cannot load") from error

    assert out_of_memory.recognised(caught(wrapped))
    for other in (
        RuntimeError("expected m1 and m2 to have the same dtype"),
        ValueError("row 3 says: out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
        TrainingFailed("out of memory at step 3", "told already"),
        KeyboardInterrupt(),
    ):
        assert not out_of_memory.recognised(other)


def test_it_is_found_behind_transformers_error_of_a_weights_conversion(base_model, monkeypatch):
    """Which names no cause: a base in NF4 is quantised while it loads."""
    from transformers.integrations import bitsandbytes

    from trainer import pretrained

    def convert(*_args, **_kwargs):
        too_much()

    monkeypatch.setattr(bitsandbytes.Bnb4bitQuantize, "convert", convert)
    source = pretrained.Source("base", str(base_model), None)
    error = caught(lambda: pretrained.load_base(source, numerics(Device("cpu", "cpu"), "nf4")))
    assert "allocate" not in str(error)
    assert out_of_memory.recognised(error)


def test_the_fault_has_the_numbers_and_what_to_change():
    with (
        pytest.raises(TrainingFailed) as found,
        out_of_memory.explained("at step 3", "take smaller ones", ["plan.tokens=8"]),
    ):
        too_much()
    assert found.value.cause.startswith("out of memory at step 3: this process takes ")
    assert " GB left on this machine, 4611686018427387904 bytes more requested" in found.value.cause
    assert (found.value.hint, found.value.settings) == ("take smaller ones", ("plan.tokens=8",))
    with pytest.raises(ZeroDivisionError), out_of_memory.explained("at step 3", ""):
        _ = 1 / 0


def test_a_card_tells_its_own_numbers(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (500_000_000, 24_000_000_000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A10G")
    error = torch.OutOfMemoryError(TEXTS[0])
    assert out_of_memory.numbers(error) == (
        "23.5 of 24.0 GB used on NVIDIA A10G, 2.00 GiB more requested"
    )


@pytest.mark.parametrize(
    ("plan", "settings"),
    [
        ({"precision": "bf16", "recompute_every": 2}, ["plan.recompute=1"]),
        ({"precision": "bf16", "recompute_every": 1}, ["precision=nf4", "allow_precision_change=true"]),
        ({"precision": "fp32"}, ["precision=bf16", "allow_precision_change=true"]),
        ({"precision": "bf16", "sharded": True}, []),
        ({"precision": "nf4", "recompute_every": 1}, []),
    ],
)  # fmt: skip
def test_what_costs_least_is_changed_first(plan, settings):
    hint, found = out_of_memory.advice(**plan)
    assert list(found) == settings
    assert "take a device with more memory" in hint
