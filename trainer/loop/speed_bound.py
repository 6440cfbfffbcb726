"""The highest possible training speed of a card, to compare the measured tokens per second with."""

from trainer.contract.sizing import roofline
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.fit import recomputed
from trainer.contract.sizing.memory import Architecture, Setting, flops_per_token
from trainer.data.encode import Examples
from trainer.data.plan import Plan


def peak_rate(
    shape: Architecture | None, plan: Plan, examples: Examples, rank: int
) -> float | None:
    """Return tokens per second of one card at its peak; None if the card or the model's shape is unknown.

    Counts the operations of LoRA (``flops_per_token``), also of recomputed layers, so that 1.0 is reachable.
    """
    card = CARDS.get(plan.device.name)
    if card is None or shape is None:
        return None
    again = recomputed(shape, plan.recompute_every)
    work = flops_per_token(shape, rank=rank, recomputed=again, **_rows(examples))
    return card.peak * 1e12 / work


def bound(shape: Architecture | None, plan: Plan, examples: Examples, rank: int) -> float | None:
    """Return the tokens per second that one card cannot exceed with today's kernels; None as above."""
    card = CARDS.get(plan.device.name)
    if card is None or shape is None:
        return None
    setting = Setting(
        precision=plan.numerics.precision,  # type: ignore[arg-type]
        rank=rank,
        tokens=round(examples.tokens * plan.epochs / plan.steps / plan.passes / plan.processes),
        recomputed=recomputed(shape, plan.recompute_every),
    )
    return roofline.rate(shape, setting, card, **_rows(examples))


def _rows(examples: Examples) -> dict[str, float]:
    """The rows' mean length as a token sees it, and the share of tokens that are trained."""
    return {
        "context": sum(length * length for length in examples.lengths) / examples.tokens,
        "scored": examples.trained_tokens / examples.tokens,
    }
