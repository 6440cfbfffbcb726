"""Tokens a second on a card: a bound counted from the kernels, and the share of it that training reaches.

The share is that of the user's own runs, where there are some; else that of a published run.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from launcher.quote.measured import Own
from trainer.contract.sizing import roofline
from trainer.contract.sizing.cards import CARDS, Card
from trainer.contract.sizing.fit import Fit, recomputed
from trainer.contract.sizing.memory import Architecture, Setting
from trainer.contract.sizing.packing import share

PARTS = ("low", "likely", "high")  # of a time
# Qwen's README, LoRA of Qwen-7B on an A100 with transformers, PEFT and FlashAttention-2, whose kernels are nearly
# these: 0.62 to 0.73 of this bound with rows of 1,024 to 8,192 tokens; 1.8B from 0.44, 14B up to 0.76. Low is
# NVIDIA NeMo's, with fused kernels: Qwen2.5-7B on an H100.
REACHED = {"low": 0.85, "likely": 0.70, "high": 0.45}
# Not measured: rows of a few hundred tokens leave the card's matrix products small.
UNPACKED_SLOWER = {"low": 1.3, "likely": 2.0, "high": 4.0}
USUAL = CARDS["NVIDIA A10G"]  # for a card that is not in CARDS
DRAWN = 64  # optimizer steps, to see how evenly their rows divide


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the speed of a training depends on. `context`: mean length of the row that a token sits in;
    `scored`: the share of tokens that is trained; `steps`: the lengths of the rows of some optimizer steps.

    `model` is None where the shape is not known; `parameters` then comes from the name. `shard`: several
    cards divide the base between them. `alone`: why rows are trained one at a time, where they are not packed.
    """

    model: Architecture | None
    parameters: float
    context: float
    scored: float
    rank: int
    steps: tuple[tuple[int, ...], ...] = ()
    shard: bool = False
    alone: str = ""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """``bound`` and ``evaluation``: tokens a second of all cards that training, and the loss of held-out
    rows, cannot exceed; ``share`` of it that is reached, low, likely and high; ``source`` of the share.
    """

    bound: float
    evaluation: float
    share: dict[str, float]
    source: str

    def rate(self, part: str = "likely") -> float:
        return self.bound * self.share[part]


def draw(lengths: Sequence[int], rows: int) -> tuple[tuple[int, ...], ...]:
    """Return the lengths of the rows of some optimizer steps of ``rows`` rows."""
    drawn = random.Random(0).sample(lengths, min(len(lengths), DRAWN * rows))
    return tuple(tuple(drawn[at : at + rows]) for at in range(0, len(drawn), rows))


def speed(what: Work, card: str, *, count: int, fitted: Fit | None, own: Own) -> Speed:
    """Estimate the speed of ``count`` cards; a model of unknown shape counts 6 and 2 operations a parameter."""
    kind = CARDS.get(card, USUAL)
    if what.model is None or fitted is None:
        peak = count * kind.peak * 1e12
        training, evaluation = peak / (6 * what.parameters), peak / (2 * what.parameters)
    else:
        training = _training(what.model, what, kind, count, fitted)
        setting = _setting(what.model, what, fitted, fitted.pass_tokens)
        only = roofline.evaluation(what.model, setting, context=what.context, scored=what.scored)
        evaluation = count * fitted.pass_tokens / roofline.seconds(only, kind)
    bound = "peak" if what.model is None else "counted bound"
    reached, source = _share(own, training, what.alone, bound)
    return Speed(bound=training, evaluation=evaluation, share=reached, source=source)


def _share(own: Own, bound: float, alone: str, of: str) -> tuple[dict[str, float], str]:
    if own.rate is not None:
        runs = f"measured on your runs (median of {own.rate.runs})"
        slowest_last = (own.rate.high, own.rate.likely, own.rate.low)
        return {part: rate / bound for part, rate in zip(PARTS, slowest_last, strict=True)}, runs
    found, source = REACHED, f"{of} x {REACHED['likely']:.2f}, the share of published runs"
    if own.share is not None:
        slowest_last = (own.share.high, own.share.likely, own.share.low)
        found = dict(zip(PARTS, slowest_last, strict=True))
        where = " on other cards" * own.elsewhere
        runs = f"of your runs{where} (median of {own.share.runs})"
        source = f"{of} x {found['likely']:.2f}, the share {runs}"
    if alone:
        found = {part: value / UNPACKED_SLOWER[part] for part, value in found.items()}
    return found, source


def _setting(model: Architecture, what: Work, fitted: Fit, tokens: float) -> Setting:
    layers = recomputed(model, fitted.every)
    return Setting(
        precision=fitted.precision, rank=what.rank, tokens=round(tokens), recomputed=layers
    )


def _training(model: Architecture, what: Work, kind: Card, count: int, fitted: Fit) -> float:
    """Tokens a second: a step takes as long as the card with most tokens, and then adds the gradients."""
    steps = what.steps or ((fitted.pass_tokens,) * count,)
    whole = fmean(sum(step) for step in steps)
    busiest = fmean(max(_tokens(step, count)) for step in steps)
    passes = max(1, -(-busiest // fitted.pass_tokens))
    setting = _setting(model, what, fitted, max(1, busiest / passes))
    kernels = roofline.training(model, setting, context=what.context, scored=what.scored)
    computed = passes * roofline.seconds(kernels, kind)
    others = (count - 1) / count
    if what.shard:
        # Each micro-batch gathers the weights for its forward pass, and again for its backward pass.
        gathered = passes * 2 * (model.linear + model.stacked) * 2 * others
        computed = max(computed, gathered / kind.link / 1e9)
    gradients = model.adapter(what.rank) * (2 if fitted.precision == "nf4" else 4)
    return whole / (computed + 2 * others * gradients / kind.link / 1e9)


def _tokens(step: Sequence[int], count: int) -> list[int]:
    """The tokens of each card."""
    return [sum(step[row] for row in part) for part in share(step, count)]
