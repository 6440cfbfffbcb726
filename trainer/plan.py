"""What a device makes of a job. The result does not depend on it, but for rounding."""

import math
from dataclasses import dataclass

from trainer.contract.errors import BadJob
from trainer.contract.job import Job

# Tokens of one forward and backward pass, padding included.
BUDGET = {"cpu": 16_384, "cuda": 8_192}


@dataclass(frozen=True, slots=True)
class Plan:
    """``accumulation`` passes of ``micro_batch`` rows make one optimizer step."""

    device: str
    device_name: str
    precision: str
    micro_batch: int
    accumulation: int
    steps: int
    epochs: float


def check_micro_batch(job: Job) -> None:
    """Raise ``BadJob`` when the micro-batch that was asked for does not divide the batch."""
    size = job.plan.micro_batch
    if size and job.batch_size % size:
        raise BadJob(
            f"plan.micro_batch {size} does not divide batch_size {job.batch_size}",
            "choose a divisor",
        )


def make_plan(
    job: Job, lengths: list[int], *, device: str, device_name: str, precision: str
) -> Plan:
    """Choose the largest micro-batch that divides the batch and keeps within the token budget."""
    fitting = [
        size
        for size in range(1, job.batch_size + 1)
        if job.batch_size % size == 0 and size * max(lengths) <= BUDGET[device]
    ]
    micro_batch = job.plan.micro_batch or max(fitting, default=1)
    per_epoch = math.ceil(len(lengths) / job.batch_size)
    steps = job.max_steps or math.ceil(job.epochs * per_epoch)
    return Plan(
        device=device,
        device_name=device_name,
        precision=precision,
        micro_batch=micro_batch,
        accumulation=job.batch_size // micro_batch,
        steps=steps,
        epochs=steps / per_epoch,
    )
