"""What the processes of one training do together; alone, each of these is what the one process has.

Every process takes a share of each step's rows. They meet when all have done their share, never within a
pass: so their passes may differ in number, and one may have none. Not so where each holds but a part of
the base (``trainer.processes.fsdp``).
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from trainer import device, library_log
from trainer.contract.command.errors import Fault, Interrupted, ProcessLost, TrainingFailed, report
from trainer.processes import peers
from trainer.processes.meeting import Meeting
from trainer.processes.peers import Peers, is_interruption

GLOO, NCCL = "gloo", "nccl"
# What gloo and NCCL write into an error, which has no type of its own.
THEIRS = ("third_party/gloo/", "NCCL")
TO_KNOW = 3.0  # seconds after a failed exchange until it is known who was lost
_peers: Peers | None = None
# Who hears of a loss before this process is ended for it.
_told: list[Callable[[ProcessLost], object]] = []


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


def meet(say: Callable[[str], None]) -> None:
    """Connect to the other processes; from here on one that is lost ends all. Call it once, first.

    Raises ``ProcessLost`` when one of them does not come, after saying that it is waited for.
    """
    global _peers  # noqa: PLW0603 - a process is one of one training
    if size() == 1:
        return
    from torch.distributed import PrefixStore, init_process_group

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    # As accelerate takes them to be where they are not set.
    place = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29500"))
    hosts: dict[int, str] = {}

    def name(ranks: Sequence[int]) -> str:
        return peers.name(ranks, size(), a_machine=local, hosts=hosts)

    first_here = os.environ.get("LOCAL_RANK", "0") == "0"
    heard = say if first_here else lambda _: None
    meeting = Meeting(rank(), size(), place, several=local != size(), name=name, say=heard)
    stderr = os.dup(2)

    def end(lost: ProcessLost) -> None:
        # The main thread waits within a library and cannot be told: end the process from here.
        for told in _told:
            told(lost)
        os.write(stderr, (report(lost) + "\n").encode())
        os._exit(lost.exit_code)

    use_own_card()
    with library_log.library_output_to(Path(os.devnull)):
        store = meeting.store(hosted=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True")
        links = meeting.links(store)
        hosts.update(meeting.hosts)
        _peers = Peers(rank(), links, name=name, say=heard, end=end)
        try:
            init_process_group(
                NCCL if device.here().is_card else GLOO,
                store=PrefixStore("sft", store),
                rank=rank(),
                world_size=size(),
                # Far behind the limits of peers: NCCL aborts the process without a message.
                timeout=timedelta(seconds=2 * peers.LOADING),
            )
        except RuntimeError as error:
            raise (loss_behind(error) or error) from error


def report_loss_to(told: Callable[[ProcessLost], object]) -> None:
    """Let ``told`` hear why, should this process be ended while it waits for one that is lost."""
    if _peers is not None:
        _told.append(told)


def loss_behind(error: BaseException) -> Fault | None:
    """Return the loss of another process that ``error`` comes from, if it does."""
    if _peers is None or (isinstance(error, Fault) and not isinstance(error, Interrupted)):
        return None
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        # torchrun ends the others of a machine as soon as one has ended.
        found = _peers.find_loss(0)
        return _peers.fault(found) if found and not is_interruption(found) else None
    if not _is_theirs(error):
        return None
    if found := _peers.find_loss(TO_KNOW):
        return _peers.fault(found)
    text = str(error).partition("\n")[0]
    return ProcessLost(f"the processes lost touch: {text}", "start the run again with --resume")


def tell(error: BaseException | None) -> None:
    """Tell the others that this process ends, and why; does nothing after ``leave``."""
    if _peers is None:
        return
    # torchrun sends SIGTERM as soon as another process of the machine has ended: the message comes first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if error is None:
        _peers.tell("it has nothing left to do", 0)
    elif isinstance(error, KeyboardInterrupt):
        _peers.tell("interrupted", Interrupted.exit_code)
    elif isinstance(error, Fault):
        _peers.tell(error.cause, error.exit_code)
    else:
        _peers.tell(f"internal error: {error!r}", Fault.exit_code)
    _end_group()


def wait_for_all() -> None:
    """Return when every process is here."""
    any_of([False])


def any_of(flags: Sequence[bool]) -> list[bool]:
    """Return, for each flag, whether it is set in any process."""
    if size() == 1:
        return list(flags)
    import torch

    values = torch.tensor([float(flag) for flag in flags], device=_device())
    with _waiting():
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return [bool(value) for value in values]


def total(values: Any) -> Any:
    """Return the sum over all processes of a tensor's values, on its device."""
    if size() == 1:
        return values
    import torch

    summed = values.to(_device(), torch.float64)
    with _waiting():
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
    with _waiting():
        pending = [torch.distributed.all_reduce(p.grad, async_op=True) for p in learning]
        for work in pending:
            work.wait()


def copy_first(tensors: Sequence[Any]) -> None:
    """Overwrite ``tensors`` with those of the first process."""
    if size() == 1:
        return
    import torch

    with _waiting():
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


def check_same(facts: Sequence[int], what: str) -> None:
    """Raise ``TrainingFailed`` unless all processes have the same ``facts``."""
    if size() == 1:
        return
    import torch

    highest = torch.tensor(list(facts), dtype=torch.int64, device=_device())
    lowest = highest.clone()
    with _waiting():
        torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
        torch.distributed.all_reduce(lowest, torch.distributed.ReduceOp.MIN)
        same = bool((highest == lowest).all())
    if not same:
        raise TrainingFailed(
            f"the processes do not agree on {what}: {lowest.tolist()} and {highest.tolist()}",
            "give every machine the same data, and a run folder that they share",
        )


def leave() -> None:
    """End what was begun with the others, once nothing is left to do with them."""
    global _peers  # noqa: PLW0603
    if _peers is not None:
        _peers.leave()
        _peers = None
    _end_group()


def _end_group() -> None:
    """End torch's group: gloo's threads would abort a process that ends with one."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _waiting() -> Iterator[None]:
    """Around every exchange: one that is lost is noticed in it."""
    if _peers is None:
        yield
        return
    with _peers.waiting():
        yield


def _is_theirs(error: BaseException) -> bool:
    distributed = sys.modules.get("torch.distributed")
    known = distributed is not None and isinstance(error, distributed.DistError)
    return known or any(words in str(error) for words in THEIRS)


def _device() -> Any:
    import torch

    backend = torch.distributed.get_backend()
    return device.CARD if backend == NCCL else device.CPU
