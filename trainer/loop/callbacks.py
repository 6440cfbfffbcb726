"""Callbacks of the training loop: write events for steps, save checkpoints by time and on request."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from trainer import checkpoints, device
from trainer.contract import events
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.sizing import evaluations
from trainer.data import holdout
from trainer.gpu_use import CardUse, gpu_use
from trainer.processes import collective
from trainer.reporting import Rates
from trainer.run_context import Run


class Counts:
    """Tokens seen so far, over all parts of a run; this process's loop adds to ``seen_*``."""

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
    """Reports every step, triggers checkpoints, stops on request and on a loss that is not finite.

    ``at_peak``: tokens per second of one card at its peak.
    """

    def __init__(self, run: Run, counts: Counts, at_peak: float | None = None) -> None:
        self._run, self._counts, self._at_peak = run, counts, at_peak
        self._job, self._reporter, self._stop = run.job, run.reporter, run.stop
        self._rates = Rates(run.here.step, counts.tokens, counts.trained_tokens)
        self._card_use = CardUse(gpu_use)
        self._saved = time.monotonic()

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._rates = Rates(state.global_step, self._counts.tokens, self._counts.trained_tokens)
        self._saved = time.monotonic()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        late = time.monotonic() - self._saved >= self._job.checkpoint.minutes * 60
        # The clock or signal of one process counts for all: all save at the same step.
        due, asked = collective.any_of([late, self._stop.asked])
        steps = self._job.checkpoint.steps
        counted = steps is not None and state.global_step % steps == 0
        last = state.global_step >= state.max_steps
        spaced = state.global_step in self._spaced(state.max_steps)
        if due or counted or spaced or last or asked:
            control.should_save = True
        if last and self._run.prepared.eval_examples is not None:
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
                "check the rows, or lower the learning rate",
                settings=[f"lr={self._job.lr / 2:g}"],
            )
        counts = self._counts
        per_second, trained_per_second, seconds = self._rates.add(
            state.global_step, counts.tokens, counts.trained_tokens
        )
        norm = logs.get("grad_norm")
        # Of several processes only the first reads it.
        has_card = str(args.device) != device.CPU and collective.rank() == 0
        gpu = self._card_use.latest() if has_card else None
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
                mfu=self._at_peak and round(per_second / (self._at_peak * args.world_size), 4),
                gpu_use=gpu,
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
            count = f"{self._job.early_stop} evaluations without a lower loss"
            self._reporter.line(f"stopping at step {state.global_step}: {count}")
        loss = (metrics or {}).get("eval_loss", math.nan)
        if math.isfinite(loss):
            self._reporter.tell(events.Eval(step=state.global_step, loss=loss))

    def on_save(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self._saved = time.monotonic()
        # By then each process has saved its random state.
        collective.wait_for_all()
        if collective.rank() > 0:
            return
        name = f"{checkpoints.FOLDER}/checkpoint-{state.global_step}"
        changes = {"tokens": self._counts.tokens, "trained_tokens": self._counts.trained_tokens}
        record = self._run.here.model_copy(update={"step": state.global_step, **changes})
        checkpoints.write_record(self._run.output / name, record)
        lowest = holdout.best(state.log_history)
        best = lowest[0] if lowest else None
        spaced = self._spaced(state.max_steps)
        checkpoints.rotate(self._run.output, self._job.checkpoint.keep, best=best, also=spaced)
        self._reporter.emit(events.Checkpoint(step=state.global_step, path=name))

    def _spaced(self, steps: int) -> set[int]:
        """Return the steps whose checkpoints are kept to choose from."""
        return evaluations.spaced(steps) if self._job.keep == "best" else set()
