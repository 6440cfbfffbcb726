"""The trial step: before the first step, the step with most tokens, run twice to measure memory and speed.

It trains nothing: gradients are dropped, random numbers and counts restored, so that the losses are the same
with and without it. Only micro-batches that are too long for the card stay shorter.
"""

import math
import time
from typing import Any

from transformers import TrainerCallback

from trainer import device
from trainer.contract import events
from trainer.contract.sizing.packing import first_fit
from trainer.data.order import batches
from trainer.data.plan import Plan
from trainer.reporting import Reporter

ROUNDS = 2  # the first one compiles kernels, the second one is timed


def wanted(plan: Plan) -> bool:
    """Only on a card: a CPU's first steps show the same, and its memory is not predicted."""
    return plan.device.is_card


class TrialStep(TrainerCallback):
    """Measures and reports once, before the first step. ``bound``: the most tokens/s of one card."""

    def __init__(self, loop: Any, plan: Plan, reporter: Reporter, bound: float | None) -> None:
        self._loop, self._plan, self._reporter, self._bound = loop, plan, reporter, bound
        self._due = True

    def on_step_begin(self, args: Any, _state: Any, _control: Any, **_kwargs: Any) -> None:
        if not self._due:
            return
        self._due = False
        tokens, seconds, peak = _measure(self._loop, _longest(self._loop, args, self._plan))
        measured = events.TrialStep(
            tokens=tokens,
            seconds=round(seconds, 4),
            tokens_per_second=round(tokens / seconds, 1),
            bound_tokens_per_second=self._bound and round(self._bound * args.world_size, 1),
            peak_bytes=peak,
            predicted_bytes=self._plan.predicted_bytes,
        )
        self._reporter.tell(measured)


def _longest(loop: Any, args: Any, plan: Plan) -> list[dict[str, list[int]]]:
    """Return the rows of the step with the longest micro-batch, of equals the one with most tokens."""
    lengths = [len(ids) for ids in loop.train_dataset.with_format("arrow")["input_ids"]]

    def size(rows: list[int]) -> tuple[int, int]:
        here = [lengths[row] for row in rows]
        groups = first_fit(here, loop.pass_tokens)
        return max(sum(here[row] for row in group) for group in groups), sum(here)

    how = {"batch_size": args.per_device_train_batch_size, "seed": args.data_seed}
    epochs = range(math.ceil(plan.epochs))
    steps = (rows for epoch in epochs for rows in batches(len(lengths), epoch=epoch, **how))
    return [loop.train_dataset[row] for row in max(steps, key=size)]


def _measure(loop: Any, rows: list[dict[str, list[int]]]) -> tuple[int, float, int | None]:
    """Return tokens, seconds and the card's peak in bytes, with the optimizer's moments of the first step."""
    import torch

    from trainer.loop.loop import step_rows, trained_tokens

    place = str(loop.args.device)
    metrics = {name: list(values) for name, values in loop._metrics["train"].items()}  # noqa: SLF001 - see module
    seen = loop._total_train_tokens  # noqa: SLF001 - see module
    trained = torch.tensor(trained_tokens(rows), device=loop.args.device)
    model, started, ended = loop.model_wrapped, 0.0, 0.0
    with torch.random.fork_rng(devices=[] if place == device.CPU else [place]):
        for _ in range(ROUNDS):
            device.reset_peak(place)
            device.synchronize(place)
            started = time.perf_counter()
            loop.training_step(model, step_rows(rows), trained)
            device.synchronize(place)
            ended = time.perf_counter()
            model.zero_grad()
    loop._metrics["train"].clear()  # noqa: SLF001 - see module
    loop._metrics["train"].update(metrics)  # noqa: SLF001 - see module
    loop._total_train_tokens = seen  # noqa: SLF001 - see module
    peak = None if place == device.CPU else device.peak_bytes(place) + _moments(loop)
    return sum(len(row["input_ids"]) for row in rows), ended - started, peak


def _moments(loop: Any) -> int:
    """Return the bytes of the two moments that the optimizer makes at its first step; 0 if it has them."""
    if loop.optimizer is not None and loop.optimizer.state_dict()["state"]:
        return 0
    learning = (p for p in loop.model.parameters() if p.requires_grad)
    return sum(2 * p.numel() * p.element_size() for p in learning)
