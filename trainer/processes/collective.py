"""What the processes of one training exchange; a single process gets back its own values.

Every process computes a share of each step's rows, and all exchange values after it, never within a
forward pass: the number of micro-batches may differ, and may be zero. Only with a divided base
(``trainer.processes.fsdp``) all processes take part in each forward pass.
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
from trainer.processes.peers import Peers, is_interruption
from trainer.processes.rendezvous import Rendezvous

GLOO, NCCL = "gloo", "nccl"
# What gloo and NCCL write into their errors, which are plain RuntimeErrors.
LIBRARY_ERRORS = ("third_party/gloo/", "NCCL")
FIND_SECONDS = 3.0  # from a failed exchange until the lost process is known
_peers: Peers | None = None
# Called with the fault before this process is ended for a lost one.
_on_lost: list[Callable[[ProcessLost], object]] = []


def rank() -> int:
    """Return this process's number; process 0 writes the results."""
    return int(os.environ.get("RANK", "0"))


def size() -> int:
    """Return the number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def use_own_card() -> None:
    """Make the card of this process the current one; call before anything is put on a card."""
    if size() > 1:
        device.use_card(int(os.environ.get("LOCAL_RANK", "0")))


def connect(say: Callable[[str], None]) -> None:
    """Connect to the other processes; from then on a lost one ends all. Call it once, first.

    Raises ``ProcessLost`` if one of them does not connect, after reporting that it is missing.
    """
    global _peers  # noqa: PLW0603 - a process belongs to one training
    if size() == 1:
        return
    from torch.distributed import PrefixStore, init_process_group

    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    # The defaults are accelerate's.
    place = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29500"))
    hosts: dict[int, str] = {}

    def name(ranks: Sequence[int]) -> str:
        return peers.name(ranks, size(), a_machine=local, hosts=hosts)

    if os.environ.get("LOCAL_RANK", "0") != "0":
        say = lambda _: None  # noqa: E731
    rendezvous = Rendezvous(rank(), size(), place, several=local != size(), name=name, say=say)
    stderr = os.dup(2)

    def end(lost: ProcessLost) -> None:
        # The main thread waits in a library and cannot be interrupted: end the process from here.
        for call in _on_lost:
            call(lost)
        os.write(stderr, (report(lost) + "\n").encode())
        os._exit(lost.exit_code)

    use_own_card()
    with library_log.library_output_to(Path(os.devnull)):
        store = rendezvous.store(hosted=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True")
        links = rendezvous.links(store)
        hosts.update(rendezvous.hosts)
        _peers = Peers(rank(), links, name=name, say=say, end=end)
        try:
            init_process_group(
                NCCL if device.here().is_card else GLOO,
                store=PrefixStore("sft", store),
                rank=rank(),
                world_size=size(),
                # Far above the limits of peers: at this one NCCL aborts the process without a message.
                timeout=timedelta(seconds=2 * peers.LOADING),
            )
        except RuntimeError as error:
            raise (lost_process_behind(error) or error) from error


def on_lost(call: Callable[[ProcessLost], object]) -> None:
    """Call ``call`` with the fault before this process is ended because another one is lost."""
    if _peers is not None:
        _on_lost.append(call)


def lost_process_behind(error: BaseException) -> Fault | None:
    """Return the fault of a lost process if that caused ``error``; else None."""
    if _peers is None or (isinstance(error, Fault) and not isinstance(error, Interrupted)):
        return None
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        # torchrun ends the other processes of a machine as soon as one has ended.
        found = _peers.find_lost(0)
        return _peers.fault(found) if found and not is_interruption(found) else None
    if not _is_of_library(error):
        return None
    if found := _peers.find_lost(FIND_SECONDS):
        return _peers.fault(found)
    text = str(error).partition("\n")[0]
    return ProcessLost(
        f"the connection between the processes broke: {text}", "start the run again with --resume"
    )


def announce_end(error: BaseException | None) -> None:
    """Send the others the reason why this process ends; does nothing after ``leave``."""
    if _peers is None:
        return
    # torchrun sends SIGTERM as soon as another process of the machine has ended: the message comes first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if error is None:
        _peers.announce_end("nothing is left to do", 0)
    elif isinstance(error, KeyboardInterrupt):
        _peers.announce_end("interrupted", Interrupted.exit_code)
    elif isinstance(error, Fault):
        _peers.announce_end(error.cause, error.exit_code)
    else:
        _peers.announce_end(f"internal error: {error!r}", Fault.exit_code)
    _end_group()


def wait_for_all() -> None:
    """Return once every process has called this."""
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
    """Give every process the sum of all gradients; a process without a micro-batch adds zeros."""
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
    """Disconnect from the others, once nothing is left to exchange."""
    global _peers  # noqa: PLW0603
    if _peers is not None:
        _peers.leave()
        _peers = None
    _end_group()


def _end_group() -> None:
    """End torch's group: with one, gloo's threads abort the process at exit."""
    if size() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _waiting() -> Iterator[None]:
    """Wrap an exchange, so that a lost process is noticed in it."""
    if _peers is None:
        yield
        return
    with _peers.waiting():
        yield


def _is_of_library(error: BaseException) -> bool:
    distributed = sys.modules.get("torch.distributed")
    known = distributed is not None and isinstance(error, distributed.DistError)
    return known or any(words in str(error) for words in LIBRARY_ERRORS)


def _device() -> Any:
    import torch

    backend = torch.distributed.get_backend()
    return device.CARD if backend == NCCL else device.CPU
