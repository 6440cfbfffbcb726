"""How fast a card could train at most: the bound that tokens per second are held against."""

from trainer.contract.sizing.cards import PEAK
from trainer.contract.sizing.fit import recomputed
from trainer.contract.sizing.memory import Architecture, flops_per_token
from trainer.data.encode import Examples
from trainer.data.plan import Plan


def bound(shape: Architecture | None, plan: Plan, examples: Examples, rank: int) -> float | None:
    """Tokens per second of one card at its peak; ``None`` where its peak or the model's shape is unknown.

    Counts what LoRA has to compute (``flops_per_token``), recomputed layers too, so that 1.0 is reachable.
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
