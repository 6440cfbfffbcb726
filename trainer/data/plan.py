"""How a device trains a job. The result does not depend on it, except for rounding."""

import math
from dataclasses import dataclass
from statistics import fmean

from trainer.attention.kernels import packs
from trainer.contract.job import Job
from trainer.contract.sizing.fit import Fit
from trainer.contract.sizing.packing import first_fit, share
from trainer.data.order import batches
from trainer.device import Device, Numerics, numerics

# Tokens of one forward and backward pass where the model's shape does not tell how many fit.
BUDGET = {False: 2_048, True: 8_192}


@dataclass(frozen=True, slots=True)
class Plan:
    """``passes`` micro-batches of at most ``pass_tokens`` tokens make one optimizer step, on average, in the
    one of ``processes`` that has the most.

    A row longer than ``pass_tokens`` is a micro-batch alone. ``recompute_every`` layers one is recomputed, none
    when 0. ``predicted_bytes`` is the peak that sizing expects of the card's allocator. ``attention`` is the
    name of the implementation; where it takes one row at a time, ``pass_tokens`` is 1.
    """

    device: Device
    numerics: Numerics
    recompute_every: int
    predicted_bytes: int | None
    attention: str
    pass_tokens: int
    passes: float
    processes: int
    steps: int
    epochs: float

    @property
    def own_attention(self) -> str:
        """The attention that a user's plain load runs with."""
        return "sdpa" if packs(self.attention) else self.attention

    @property
    def precision(self) -> str:
        return self.numerics.precision


def make_plan(
    job: Job,
    lengths: list[int],
    *,
    device: Device,
    precision: str,
    fitted: Fit | None,
    attention: str,
    processes: int = 1,
) -> Plan:
    """Choose the tokens of a micro-batch, and count the micro-batches of the first epoch.

    ``fitted`` is how the model fits the card, where its shape is known.
    """
    tokens = job.plan.tokens or (fitted.pass_tokens if fitted else BUDGET[device.is_card])
    tokens = tokens if packs(attention) else 1
    epoch = batches(len(lengths), batch_size=job.batch_size, seed=job.seed, epoch=0)
    passes = fmean(_passes([lengths[i] for i in batch], tokens, processes) for batch in epoch)
    per_epoch = math.ceil(len(lengths) / job.batch_size)
    steps = job.max_steps or math.ceil(job.epochs * per_epoch)
    every = fitted.every if fitted else int(device.is_card)
    return Plan(
        device=device,
        numerics=numerics(device, precision),
        recompute_every=every if job.plan.recompute is None else job.plan.recompute,
        predicted_bytes=fitted.need.total - fitted.need.context
        if fitted and device.is_card
        else None,
        attention=attention,
        pass_tokens=tokens,
        passes=round(passes, 2),
        processes=processes,
        steps=steps,
        epochs=steps / per_epoch,
    )


def _passes(lengths: list[int], tokens: int, processes: int) -> int:
    parts = share(lengths, processes)
    return max(len(first_fit([lengths[i] for i in part], tokens)) for part in parts)
