"""The highest possible training speed of a card, to compare the measured tokens per second with."""

from trainer.contract.sizing.cards import PEAK
from trainer.contract.sizing.fit import recomputed
from trainer.contract.sizing.memory import Architecture, flops_per_token
from trainer.data.encode import Examples
from trainer.data.plan import Plan


def bound(shape: Architecture | None, plan: Plan, examples: Examples, rank: int) -> float | None:
    """Return tokens per second of one card at its peak; None if its peak or the model's shape is unknown.

    Counts the operations of LoRA (``flops_per_token``), also of recomputed layers, so that 1.0 is reachable.
    """
    peak = PEAK.get(plan.device.name)
    if peak is None or shape is None:
        return None
    work = flops_per_token(
        shape,
        rank=rank,
        context=sum(length * length for length in examples.lengths) / examples.tokens,
        scored=examples.trained_tokens / examples.tokens,
        recomputed=recomputed(shape, plan.recompute_every),
    )
    return peak * 1e12 / work
