"""Judges: accelerate's move to a device, and torch's pinning, which visit each member of a list."""

from accelerate.utils import send_to_device
from torch.utils.data._utils.pin_memory import pin_memory

from trainer.loop.loop import step_rows


def test_neither_moving_nor_pinning_visits_the_numbers_of_a_step():
    rows = [{"input_ids": [1, 2], "labels": [1, 2]}]
    assert send_to_device(step_rows(rows), "meta")["rows"].rows is rows
    assert pin_memory(step_rows(rows))["rows"].rows is rows
