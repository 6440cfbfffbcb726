import pytest
import torch

from trainer import device
from trainer.device import Device, numerics

CPU, CARD = Device("cpu", "cpu"), Device("cuda", "a card", 24 * 10**9, flash=True, place="cuda:0")


@pytest.mark.parametrize(
    ("where", "precision", "weights", "compute", "autocast", "flash"),
    [
        (CPU, "fp32", torch.float32, torch.float32, False, False),
        (CPU, "bf16", torch.bfloat16, torch.bfloat16, True, False),
        (CPU, "nf4", torch.float32, torch.float32, False, False),
        (CARD, "fp32", torch.float32, torch.float32, False, False),
        (CARD, "bf16", torch.bfloat16, torch.bfloat16, True, True),
        (CARD, "nf4", torch.bfloat16, torch.bfloat16, True, True),
    ],
)
def test_what_a_device_makes_of_a_precision(where, precision, weights, compute, autocast, flash):
    how = numerics(where, precision)
    assert (how.dtype(how.weights), how.dtype(how.compute)) == (weights, compute)
    assert (how.autocast, how.flash) == (autocast, flash)
    assert how.pin_memory is where.is_card


def test_an_old_card_has_no_flash():
    assert not numerics(Device("cuda", "old", 10**9), "bf16").flash


def test_every_forward_pass_is_in_bf16_under_autocast():
    """Judge: torch's own result type."""
    left, right = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bfloat16)
    with numerics(CPU, "bf16").context():
        assert (left @ right).dtype == torch.bfloat16
    with numerics(CPU, "fp32").context():
        assert (left @ left).dtype == torch.float32


def test_random_numbers_go_on_where_they_were():
    state = device.random_state()
    first = torch.rand(3)
    device.set_random_state(state)
    assert torch.equal(torch.rand(3), first)


def test_the_peak_of_a_cpu_is_the_process():
    assert device.peak_bytes("cpu") > 10**7
