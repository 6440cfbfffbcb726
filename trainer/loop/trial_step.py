"""The trial step: before the first step, the step with most tokens, run a few times to measure memory and speed.

It is run with plain and with fused kernels; the faster way that computes the same is used from then on. A resumed
run measures again. The trial trains nothing: gradients are dropped, random numbers and counts restored, so that the
losses are the same with and without it. Only micro-batches that are too long for the card stay shorter.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from trainer import device
from trainer.contract import events
from trainer.contract.command.errors import Interrupted, ProcessLost
from trainer.contract.sizing.packing import first_fit
from trainer.data.order import batches
from trainer.data.plan import Plan
from trainer.loop import fused
from trainer.processes import collective
from trainer.reporting import Reporter

TIMED = 2  # rounds after the first one, which compiles kernels; the fastest counts
AGREES = 1e-2  # relative difference of loss and gradient norm that counts as rounding in bf16


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to compute the trial step. ``peak``: bytes of the card; ``norm``: of the gradient."""

    seconds: float
    peak: int | None
    loss: float
    norm: float


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
        rows = _longest(self._loop, args, self._plan)
        with _without_a_trace(self._loop):
            plain = _measure(self._loop, rows)
            best, chosen = _choose(self._loop, rows, plain)
        tokens = sum(len(row["input_ids"]) for row in rows)
        measured = events.TrialStep(
            tokens=tokens,
            seconds=round(best.seconds, 4),
            tokens_per_second=round(tokens / best.seconds, 1),
            bound_tokens_per_second=self._bound and round(self._bound * args.world_size, 1),
            peak_bytes=best.peak,
            predicted_bytes=self._plan.predicted_bytes,
        )
        self._reporter.tell(measured)
        self._reporter.tell(chosen)


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


@contextmanager
def _without_a_trace(loop: Any) -> Iterator[None]:
    """Restore afterwards what steps leave behind, besides gradients: random numbers and TRL's counts."""
    metrics = {name: list(values) for name, values in loop._metrics["train"].items()}  # noqa: SLF001 - see module
    seen = loop._total_train_tokens  # noqa: SLF001 - see module
    random_state = device.random_state()
    yield
    device.set_random_state(random_state)
    loop._metrics["train"].clear()  # noqa: SLF001 - see module
    loop._metrics["train"].update(metrics)  # noqa: SLF001 - see module
    loop._total_train_tokens = seen  # noqa: SLF001 - see module


def _measure(loop: Any, rows: list[dict[str, list[int]]]) -> Measured:
    """Run the step with the loop's kernels, each time with the same random numbers.

    The peak includes the optimizer's moments of the first step.
    """
    import torch

    from trainer.loop.loop import step_rows, trained_tokens

    place, model = str(loop.args.device), loop.model_wrapped
    trained = torch.tensor(trained_tokens(rows), device=loop.args.device)
    random_state = device.random_state()
    seconds, loss, norm = [], math.nan, math.nan
    for _ in range(1 + TIMED):
        device.set_random_state(random_state)
        device.reset_peak(place)
        device.synchronize(place)
        started = time.perf_counter()
        loss = loop.training_step(model, step_rows(rows), trained)
        device.synchronize(place)
        seconds.append(time.perf_counter() - started)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        model.zero_grad()
    device.set_random_state(random_state)
    peak = None if place == device.CPU else device.peak_bytes(place) + _moments(loop)
    return Measured(min(seconds[1:]), peak, float(loss), float(norm))


def _choose(
    loop: Any, rows: list[dict[str, list[int]]], plain: Measured
) -> tuple[Measured, events.Kernels]:
    """Measure the same step with fused kernels; set the better one in ``loop``, and return its figures."""
    found = None
    try:
        loop.kernels = fused.Fused(loop.model)
        found = _measure(loop, rows)
        finding = _compare(found, plain)
    except (Interrupted, ProcessLost):
        raise
    except Exception as error:  # noqa: BLE001 - the plain way has just worked
        loop.model.zero_grad()
        finding = next(iter(str(error).splitlines()), "") or type(error).__name__
    used = found is not None and not finding and found.seconds < plain.seconds
    # Times differ between processes.
    [refused] = collective.any_of([not used])
    if refused or found is None:
        loop.kernels = nullcontext()
    chosen = events.Kernels(
        used=not refused,
        plain_seconds=round(plain.seconds, 4),
        fused_seconds=found and round(found.seconds, 4),
        finding=finding or "loss agrees",
    )
    return plain if refused or found is None else found, chosen


def _compare(found: Measured, plain: Measured) -> str:
    """Return by how much loss and gradient differ; empty if that is rounding."""
    pairs = {"loss": (found.loss, plain.loss), "gradient norm": (found.norm, plain.norm)}
    for what, (ours, theirs) in pairs.items():
        apart = abs(ours - theirs) / abs(theirs) if theirs else abs(ours)
        if not apart <= AGREES:  # also for NaN
            return f"{what} differs from plain by {apart:.1%}"
    return ""


def _moments(loop: Any) -> int:
    """Return the bytes of the two moments that the optimizer makes at its first step; 0 if it has them."""
    if loop.optimizer is not None and loop.optimizer.state_dict()["state"]:
        return 0
    learning = (p for p in loop.model.parameters() if p.requires_grad)
    return sum(2 * p.numel() * p.element_size() for p in learning)
