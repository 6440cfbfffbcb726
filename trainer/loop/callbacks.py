"""The training loop's side of the run: steps into events, checkpoints by time and on request."""

import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from trainer import checkpoints, device
from trainer.contract import events
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import Job
from trainer.contract.sizing import evaluations
from trainer.data import holdout
from trainer.gpu_use import CardUse, gpu_use
from trainer.processes import collective
from trainer.reporting import Rates, Reporter
from trainer.signals import StopRequest


class Counts:
    """Tokens seen so far, over all parts of a run; ``seen_*`` come from the loop of this process."""

    def __init__(self, record: checkpoints.Record | None) -> None:
        self.tokens_before = record.tokens if record else 0
        self.trained_before = record.trained_tokens if record else 0
        self.seen_tokens = 0
        self.seen_trained = 0

    @property
    def tokens(self) -> int:
        return self.tokens_before + self.seen_tokens

    @property
    def trained_tokens(self) -> int:
        return self.trained_before + self.seen_trained


class RunCallback(TrainerCallback):
    """Reports every step, asks for checkpoints, stops on request and on a loss that is no number.

    ``bound``: tokens per second of one card at most.
    """

    def __init__(
        self,
        *,
        job: Job,
        output: Path,
        record: checkpoints.Record,
        counts: Counts,
        reporter: Reporter,
        stop: StopRequest,
        evaluates: bool,
        bound: float | None = None,
    ) -> None:
        self._evaluates = evaluates
        self._bound = bound
        self._job = job
        self._output = output
        self._mark = record
        self._counts = counts
        self._reporter = reporter
        self._stop = stop
        self._rates = Rates(record.step, counts.tokens, counts.trained_tokens)
        self._card_use = CardUse(gpu_use)
        self._saved = time.monotonic()

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._rates = Rates(state.global_step, self._counts.tokens, self._counts.trained_tokens)
        self._saved = time.monotonic()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        late = time.monotonic() - self._saved >= self._job.checkpoint.minutes * 60
        # One process's clock or signal is everyone's: all save at the same step.
        due, asked = collective.any_of([late, self._stop.asked])
        steps = self._job.checkpoint.steps
        counted = steps is not None and state.global_step % steps == 0
        last = state.global_step >= state.max_steps
        spaced = state.global_step in self._spaced(state.max_steps)
        if due or counted or spaced or last or asked:
            control.should_save = True
        if last and self._evaluates:
            control.should_evaluate = True
        if asked:
            self._stop.asked = control.should_training_stop = True

    def on_log(
        self,
        args: Any,
        state: Any,
        _control: Any,
        logs: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingFailed(
                f"the loss is {logs['loss']} at step {state.global_step}",
                "look at the rows, or lower the learning rate",
                settings=[f"lr={self._job.lr / 2:g}"],
            )
        counts = self._counts
        per_second, trained_per_second, seconds = self._rates.add(
            state.global_step, counts.tokens, counts.trained_tokens
        )
        norm = logs.get("grad_norm")
        self._reporter.step(
            events.Step(
                step=state.global_step,
                steps=state.max_steps,
                epoch=round(state.epoch or 0.0, 4),
                loss=logs["loss"],
                lr=logs["learning_rate"],
                grad_norm=norm if norm is not None and math.isfinite(norm) else None,
                tokens=counts.tokens,
                trained_tokens=counts.trained_tokens,
                tokens_per_second=round(per_second, 1),
                trained_tokens_per_second=round(trained_per_second, 1),
                seconds_left=round((state.max_steps - state.global_step) * seconds, 1),
                memory_bytes=device.peak_bytes(str(args.device)),
                mfu=self._bound and round(per_second / (self._bound * args.world_size), 4),
                gpu_use=self._gpu_use(str(args.device)),
            )
        )

    def on_evaluate(
        self,
        _args: Any,
        state: Any,
        control: Any,
        metrics: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        lowest = holdout.best(state.log_history)
        over = holdout.is_over(state.log_history, self._job.early_stop)
        if over or (lowest and lowest[0] == state.global_step):
            control.should_save = True
        if over and state.global_step < state.max_steps:
            control.should_training_stop = True
            self._reporter.line(
                f"stopping at step {state.global_step}: {self._job.early_stop} evaluations without a "
                "lower loss"
            )
        loss = (metrics or {}).get("eval_loss", math.nan)
        if math.isfinite(loss):
            self._reporter.tell(events.Eval(step=state.global_step, loss=loss))

    def on_save(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._saved = time.monotonic()
        # Each process has saved its random numbers by then.
        collective.wait_for_all()
        if collective.rank() > 0:
            return
        name = f"{checkpoints.FOLDER}/checkpoint-{state.global_step}"
        record = self._mark.model_copy(
            update={
                "step": state.global_step,
                "tokens": self._counts.tokens,
                "trained_tokens": self._counts.trained_tokens,
            }
        )
        checkpoints.write_record(self._output / name, record)
        lowest = holdout.best(state.log_history)
        checkpoints.rotate(
            self._output,
            self._job.checkpoint.keep,
            best=lowest[0] if lowest else None,
            also=self._spaced(state.max_steps),
        )
        self._reporter.emit(events.Checkpoint(step=state.global_step, path=name))

    def _gpu_use(self, place: str) -> int | None:
        """Return the card's use in percent; of several processes only the first asks."""
        return self._card_use.latest() if place != device.CPU and collective.rank() == 0 else None

    def _spaced(self, steps: int) -> set[int]:
        """Steps whose checkpoints are kept to choose from."""
        return evaluations.spaced(steps) if self._job.keep == "best" else set()
