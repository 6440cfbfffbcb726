"""A base model divided between the cards of a run (FSDP2): each holds a part of every layer.

transformers reads each process's part alone; a layer is whole on a card while it is that layer's turn.
The adapter, which comes later, stays whole in every process: its gradients are summed, and it is saved
and resumed, as when nothing is divided. But every pass is a meeting of all processes now.
"""

from typing import Any

from trainer.contract.job import Job
from trainer.processes import collective


def wanted(job: Job) -> bool:
    """Say whether the base is divided; one process alone has it whole whatever the job says."""
    return job.plan.shard and collective.size() > 1


def parts() -> Any:
    """Return what tells transformers to load this process's part of a model."""
    from transformers.distributed import DistributedConfig

    return DistributedConfig(fsdp_size=collective.size())


def enclose(model: Any) -> None:
    """Make a PEFT model on a divided base the outermost of what FSDP2 follows; call before its first pass.

    PEFT calls the base's forward past its hooks, so that no layer would know which came before it.
    """
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    whole = {weight for weight in model.parameters() if not isinstance(weight, DTensor)}
    divided = next(weight for weight in model.parameters() if isinstance(weight, DTensor))
    fully_shard(model, mesh=divided.device_mesh, ignored_params=whole)
