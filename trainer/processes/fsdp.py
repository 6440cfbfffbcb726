"""A base model divided between the cards of a run (FSDP2): each holds a part of every layer.

transformers loads only each process's part; a card holds a whole layer only while it computes that layer.
The adapter stays whole in every process: its gradients are summed, and it is saved and resumed as without
FSDP. But all processes now take part in every forward pass.
"""

from typing import Any

from trainer.contract.job import Job
from trainer.processes import collective


def wanted(job: Job) -> bool:
    """Say whether the base is divided; a single process never divides it."""
    return job.plan.shard and collective.size() > 1


def loading_options() -> Any:
    """Return the argument with which transformers loads this process's part of a model."""
    from transformers.distributed import DistributedConfig

    return DistributedConfig(fsdp_size=collective.size())


def wrap(model: Any) -> None:
    """Make a PEFT model on a divided base the outermost FSDP2 module; call before its first forward pass.

    PEFT calls the base's forward without its hooks, which FSDP2 needs to know the order of the layers.
    """
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    whole = {weight for weight in model.parameters() if not isinstance(weight, DTensor)}
    divided = next(weight for weight in model.parameters() if isinstance(weight, DTensor))
    fully_shard(model, mesh=divided.device_mesh, ignored_params=whole)
