"""How long a run takes on a card, and whether it fits: from shapes and lengths, before anything is rented.

The estimate is rough and shown as such: low, likely and high for each figure. Speed, pull and start-up are
the median of the user's own runs on that card, where there are some; else the speed is counted
(``launcher.quote.speed``), and pull and start-up are assumed.
"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.quote import measured
from launcher.quote.chat_template import ChatTemplate, open_template
from launcher.quote.measured import Measured, Own, Spread
from launcher.quote.row_lengths import CHECKED, ROUGH, TYPICAL, Lengths, lengths
from launcher.quote.speed import PARTS, Speed, Work, draw, speed
from launcher.world import World
from trainer.contract import episodes, row_figures, validation
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.job import Job
from trainer.contract.rows import Rows, read_rows
from trainer.contract.sizing import evaluations
from trainer.contract.sizing.base_models import REFUSED, packing, reason_alone
from trainer.contract.sizing.fit import Fit, fit
from trainer.contract.sizing.memory import KNOWN, Architecture, Precision
from trainer.contract.sizing.shapes import from_config

PULL = {"low": 60.0, "likely": 180.0, "high": 480.0}  # seconds for 3.3 GB
START = 60.0  # seconds from the image to the first step, without the weights
LINK = {"low": 300e6, "likely": 100e6, "high": 40e6}  # bytes a second, for the base weights
HOME = 5e6  # bytes a second, for the adapter
ANSWERED = {"low": 2.0, "likely": 1.0, "high": 0.4}  # questions a second; base, then adapter
LOADED = 30.0  # seconds, to load a checkpoint for its evaluation
UNNAMED = 3.0  # billion parameters, when the model's name does not tell


@dataclass(frozen=True, kw_only=True)
class TrainingSize(Work):
    """The size of a training. `tokens` over all epochs; lengths in tokens, estimated from characters.

    `measured` are the tokens of all evaluations of the loss together, which are forward passes alone;
    their rows count as like those trained on. `questions` go to base and adapter each,
    `validated` to each of several checkpoints. `own`: all runs that the user has measured.
    """

    tokens: int
    longest: int
    precision: Precision | None
    measured: int = 0
    questions: int = 0
    validated: int = 0
    own: tuple[Measured, ...] = ()
    counted: str = ROUGH


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """For one card: how the run fits, its speed, seconds low, likely and high, all in.

    `own`: the user's runs on that card, which the figures are from.
    """

    fit: Fit | None
    speed: Speed
    seconds: dict[str, float]
    own: Own = field(default_factory=Own)

    @property
    def fits(self) -> bool:
        return self.fit is None or self.fit.fits

    @property
    def tokens_per_second(self) -> float:
        return self.speed.rate()

    def sources(self) -> list[str]:
        """Where speed and time come from, a line each."""
        pair = (("image pull", self.own.pull), ("start-up", self.own.start))
        assumed = " and ".join(name for name, measured in pair if measured is None)
        return [f"token/s: {self.speed.source}", *[f"{assumed}: assumed"] * bool(assumed)]


def training_size(job: Job, data: Rows | None, *, world: World) -> TrainingSize:
    """Look at the job, at the length of its rows and at what it is evaluated on; without data at TYPICAL rows.

    Raises ``NotFound`` or ``BadData`` for rows or episodes to evaluate on that cannot be read, and
    ``ModelUnavailable`` for a kind of model that the trainer is known to refuse.
    """
    template = open_template(job.model, world.hub_folder())
    checked = row_figures.read(world.hub_folder(), job, data.sha256) if data else None
    if checked:
        counted = Lengths(checked.lengths, checked.trained, CHECKED)
    else:
        counted = lengths(data.rows, template) if data else TYPICAL
    # A row may become several where the template rewrites earlier turns.
    total, rows = sum(counted.each), max(1, len(counted.each))
    out = evaluations.count(rows, share=job.eval_share) if job.eval_data is None else 0
    steps = job.max_steps or math.ceil(job.epochs * math.ceil((rows - out) / job.batch_size))
    epochs = job.epochs
    if job.max_steps is not None:
        epochs = job.max_steps * job.batch_size / (rows - out)
    config = config_of(job.model, world=world)
    shape = architecture(job.model, world=world)
    longest = min(max(counted.each, default=1), job.max_length)
    if packing(config, longest) == "refused":
        raise ModelUnavailable(
            f"{job.model} cannot be trained: {REFUSED[str(config['model_type'])]}",
            "choose another base model; docs/models.md lists the usable ones",
        )
    asked = None if job.precision == "auto" else job.precision
    return TrainingSize(
        model=shape,
        parameters=parameters_of(job.model, world=world),
        tokens=round(total * (rows - out) / rows * epochs),
        longest=longest,
        context=sum(length**2 for length in counted.each) / max(total, 1),
        scored=counted.scored / max(total, 1),
        rank=job.lora.r,
        precision=asked,
        measured=round(
            evaluations.times(steps) * (_eval_tokens(job, template) or total * out / rows)
        ),
        questions=episodes.questions(Path(job.evaluate)) if job.evaluate else 0,
        validated=episodes.questions(Path(job.validation)) if job.validation else 0,
        steps=draw([min(length, job.max_length) for length in counted.each], job.batch_size),
        shard=job.plan.shard,
        alone=reason_alone(config, longest),
        own=measured.read(world),
        counted=counted.how,
    )


def _eval_tokens(job: Job, template: ChatTemplate | None) -> int:
    """Tokens of the rows in `eval_data`, whose loss is measured; 0 without such a file."""
    return sum(lengths(read_rows(Path(job.eval_data)).rows, template).each) if job.eval_data else 0


def estimate(
    what: TrainingSize, card: str, *, memory: int, count: int = 1, here: bool = False
) -> Estimate:
    """Size the work for `count` cards of `memory` GB each. `here`: no image is pulled, nothing fetched."""
    fitted = None
    if what.model is not None:
        fitted = fit(
            what.model,
            card_bytes=memory * 10**9,
            rank=what.rank,
            longest=what.longest,
            precision=what.precision,
            shards=count if what.shard else 1,
        )
    own = Own.on(
        card,
        what.own,
        cards=count,
        parameters=what.parameters,
        precision=fitted.precision if fitted else what.precision,
    )
    fast = speed(what, card, count=count, fitted=fitted, own=own)
    bounded = what.tokens / fast.bound + what.measured / fast.evaluation
    seconds = {part: _seconds(what, part, bounded / fast.share[part], own, here) for part in PARTS}
    return Estimate(fit=fitted, speed=fast, seconds=seconds, own=own)


def _seconds(what: TrainingSize, part: str, training: float, own: Own, here: bool) -> float:
    """Pull, weights (once for training, once for the proof's clean base, from disk), training with the
    loss of held-out rows, questions to checkpoints, to base and to adapter, download.
    """
    adapter = what.model.adapter(what.rank) * 4 if what.model else what.parameters * 0.08
    pull = _measured(own.pull, part, PULL[part])
    brought = 0.0 if here else pull + adapter / HOME
    return (
        brought
        + _measured(own.start, part, START + what.parameters * 2 / LINK[part])
        + training
        + (2 * what.questions + validation.ASKED * what.validated) / ANSWERED[part]
        + validation.ASKED * bool(what.validated) * LOADED
    )


def _measured(found: Spread | None, part: str, otherwise: float) -> float:
    return otherwise if found is None else float(getattr(found, part))


def parameters_of(model: str, *, world: World) -> float:
    """The number of a model's parameters, by its shape, the size of its weights, or its name."""
    shape = architecture(model, world=world)
    return shape.parameters if shape else _named(model) * 1e9


def architecture(model: str, *, world: World) -> Architecture | None:
    """The model's shape: a known one, a local folder's, or one that the hub's cache holds."""
    if model in KNOWN:
        return KNOWN[model]
    try:
        return from_config(config_of(model, world=world))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def config_of(model: str, *, world: World) -> dict[str, Any]:
    """The model's `config.json`: of a local folder, or of the hub's cache; empty where neither has it."""
    cached = world.hub_folder() / "hub" / f"models--{model.replace('/', '--')}" / "snapshots"
    for path in (Path(model) / "config.json", *cached.glob("*/config.json")):
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _named(model: str) -> float:
    """Billions of parameters, from the weights' size or the model's name."""
    if model == "bundled:tiny":
        return 0.001
    if Path(model).is_dir():
        weights = Path(model).glob("*.safetensors")
        return sum(path.stat().st_size for path in weights) / 2 / 1e9
    found = re.search(r"(\d+(?:\.\d+)?)b\b", model.lower())
    return float(found[1]) if found else UNNAMED
