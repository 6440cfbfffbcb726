"""What the processes of one training do together; alone, each of these is what the one process has.

Every process takes a share of each step's rows. They meet when all have done their share, never within a
pass: so their passes may differ in number, and one may have none. Not so where each holds but a part of
the base (``trainer.shard``).
"""

import os
from collections.abc import Sequence
from typing import Any

from trainer import device
from trainer.contract.errors import TrainingFailed


def rank() -> int:
    """Return this process's number, 0 for the one that writes."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def use_own_card() -> None:
    """Make the card of this process the current one; call before anything is put on a card."""
    if size() > 1:
        device.use_card(int(os.environ.get("LOCAL_RANK", "0")))


def wait_for_all() -> None:
    """Return when every process is here."""
    any_of([False])


def any_of(flags: Sequence[bool]) -> list[bool]:
    """Return, for each flag, whether it is set in any process."""
    if size() == 1:
        return list(flags)
    import torch

    values = torch.tensor([float(flag) for flag in flags], device=_device())
    torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
    return [bool(value) for value in values]


def total(values: Any) -> Any:
    """Return the sum over all processes of a tensor's values, on its device."""
    if size() == 1:
        return values
    import torch

    summed = values.to(_device(), torch.float64)
    torch.distributed.all_reduce(summed)
    return summed.to(values.device, values.dtype)


def sum_gradients(model: Any) -> None:
    """Give every process the sum of all gradients; one that had no pass adds nothing to it."""
    if size() == 1:
        return
    import torch

    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    pending = [torch.distributed.all_reduce(p.grad, async_op=True) for p in learning]
    for work in pending:
        work.wait()


def copy_first(tensors: Sequence[Any]) -> None:
    """Overwrite ``tensors`` with those of the first process."""
    if size() == 1:
        return
    import torch

    for tensor in tensors:
        torch.distributed.broadcast(tensor, src=0)


def check_same(facts: Sequence[int], what: str) -> None:
    """Raise ``TrainingFailed`` unless all processes have the same ``facts``."""
    if size() == 1:
        return
    import torch

    highest = torch.tensor(list(facts), dtype=torch.int64, device=_device())
    lowest = highest.clone()
    torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
    torch.distributed.all_reduce(lowest, torch.distributed.ReduceOp.MIN)
    if not bool((highest == lowest).all()):
        raise TrainingFailed(
            f"the processes do not agree on {what}: {lowest.tolist()} and {highest.tolist()}",
            "give every machine the same data, and a run folder that they share",
        )


def leave() -> None:
    """End what was begun with the others, once nothing is left to do with them."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _device() -> Any:
    import torch

    backend = torch.distributed.get_backend()
    return device.CARD if backend == "nccl" else device.CPU
