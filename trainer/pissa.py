"""PiSSA (Meng et al. 2024, arXiv:2404.02948): the adapter begins as the base's largest directions.

The paper takes them out of the base. Here the base stays as it is, so that it may be in bf16 or NF4, and a
checkpoint is an ordinary adapter of it: with s the scale and A0, B0 the directions, the paper's
W - s B0 A0 + s B A is W + s [B, -B0] [A; A0], an adapter of twice the rank whose second half never learns.
"""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight

from trainer.contract.errors import BadJob
from trainer.contract.job import Job

NAME = "default"  # of PEFT's adapter
# Of the subspace method: PEFT's documentation names 4 and 16, the first within seconds.
ITERATIONS = 4


def wanted(job: Job) -> bool:
    return job.lora.variant == "pissa"


def begin(model: Any, rank: int, *, seed: int) -> None:
    """Set an adapter of twice ``rank`` to the base's largest directions, there and back.

    What the model computes is unchanged at first, but for rounding. Raises ``BadJob`` where a layer has
    fewer directions than ``rank``.
    """
    cards = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=cards), torch.no_grad():
        torch.manual_seed(seed)
        for name, layer in model.named_modules():
            if isinstance(layer, LoraLayer):
                _begin(name, layer, rank)


def _begin(name: str, layer: Any, rank: int) -> None:
    weight = dequantize_module_weight(layer.get_base_layer()).float()
    if rank > min(weight.shape):
        raise BadJob(
            f"lora.variant = pissa with lora.r = {rank}: {name} has only {min(weight.shape)} directions",
            "take a smaller lora.r, or another variant",
        )
    left, sizes, right = torch.svd_lowrank(weight, q=rank, niter=ITERATIONS)
    root = (sizes / layer.scaling[NAME]).sqrt()
    a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
    down, up = root[:, None] * right.T, left * root
    a.copy_(torch.cat([down, down]))
    b.copy_(torch.cat([up, -up], dim=1))


def hold(model: Any, rank: int) -> None:
    """Leave no gradient to the half that does not learn; call before each optimizer step."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            for weight, axis in ((layer.lora_A[NAME].weight, 0), (layer.lora_B[NAME].weight, 1)):
                if weight.grad is not None:
                    weight.grad.narrow(axis, rank, rank).zero_()
