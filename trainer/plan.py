"""What a device makes of a job. The result does not depend on it, but for rounding."""

import math
from dataclasses import dataclass
from statistics import fmean

from trainer.contract.job import Job
from trainer.order import batches
from trainer.packing import first_fit

# Tokens of one forward and backward pass.
BUDGET = {"cpu": 16_384, "cuda": 8_192}


@dataclass(frozen=True, slots=True)
class Plan:
    """``passes`` forward and backward passes of at most ``pass_tokens`` make one optimizer step, on average.

    A row longer than ``pass_tokens`` is a pass of its own.
    """

    device: str
    device_name: str
    precision: str
    pass_tokens: int
    passes: float
    steps: int
    epochs: float


def make_plan(
    job: Job, lengths: list[int], *, device: str, device_name: str, precision: str
) -> Plan:
    """Choose the tokens of a pass and count the passes of the first epoch."""
    tokens = job.plan.tokens or BUDGET[device]
    epoch = batches(len(lengths), batch_size=job.batch_size, seed=job.seed, epoch=0)
    passes = fmean(len(first_fit([lengths[i] for i in batch], tokens)) for batch in epoch)
    per_epoch = math.ceil(len(lengths) / job.batch_size)
    steps = job.max_steps or math.ceil(job.epochs * per_epoch)
    return Plan(
        device=device,
        device_name=device_name,
        precision=precision,
        pass_tokens=tokens,
        passes=round(passes, 2),
        steps=steps,
        epochs=steps / per_epoch,
    )
