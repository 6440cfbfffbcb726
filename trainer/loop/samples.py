"""Samples: base and adapter answer a few held-out rows, before and after training.

The rows stay the same, and decoding is greedy: no random number is drawn, so that the training is unchanged.
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from transformers import TrainerCallback

from trainer import out_of_memory
from trainer.contract import events
from trainer.data import holdout
from trainer.data.encode import Examples
from trainer.data.masks import Encoded, runs
from trainer.processes import collective
from trainer.run_context import Run

TOKENS = 64  # of an answer
LETTERS = 400  # of the end of a question
CUT = " …"  # after an answer that was longer


@dataclass(frozen=True, slots=True)
class Question:
    """A held-out row up to its first trained turn, in tokens, and that turn."""

    line: int
    prompt: list[int]
    reference: list[int]


class Samples(TrainerCallback):
    """Before the first step measures the base on the held-out rows, and lets it answer some of them.

    At each evaluation the adapter answers the first of them.
    """

    def __init__(self, loop: Any, run: Run) -> None:
        self._loop, self._run = loop, run

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        # A resumed run has it in its history.
        if holdout.base_turns(state.log_history):
            return
        loss = self._loop.measure_base()
        if math.isfinite(loss):
            self._run.reporter.tell(events.Eval(step=0, loss=loss))
        write(self._loop, self._run, label="base", step=0, count=self._run.job.samples)

    def on_evaluate(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        count = min(1, self._run.job.samples)
        write(self._loop, self._run, label="adapter", step=state.global_step, count=count)


def write(loop: Any, run: Run, *, label: str, step: int, count: int) -> None:
    """Let ``label``, the base or the adapter, answer the first ``count`` held-out rows; write ``sample`` events."""
    # With a divided base every process takes part.
    if collective.rank() > 0 and not run.sharded:
        return
    where = f"while a sample is written at step {step}"
    tokenizer = loop.processing_class
    for one in questions(run.prepared.eval_examples, count):
        with (
            out_of_memory.explained(where, "write no samples", ["samples=0"]),
            loop.model.disable_adapter() if label == "base" else nullcontext(),
        ):
            answer = _answer(loop, one.prompt, run.prepared.stop_id)
        prompt, text, reference = (
            tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (one.prompt, answer, one.reference[:TOKENS])
        )
        sample = events.Sample(
            step=step,
            prompt=prompt[-LETTERS:],
            text=text + CUT * (len(answer) == TOKENS and answer[-1] != run.prepared.stop_id),
            label=label,
            line=one.line,
            reference=reference + CUT * (len(one.reference) > TOKENS),
        )
        run.reporter.emit(sample)


def _answer(loop: Any, prompt: list[int], stop: int) -> list[int]:
    import torch

    model, ids = loop.model, torch.tensor([prompt], device=loop.args.device)
    was_training = model.training
    model.eval()
    with torch.no_grad(), loop.compute_loss_context_manager():
        written: list[int] = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=TOKENS,
            eos_token_id=stop,
            pad_token_id=loop.processing_class.pad_token_id,
            use_cache=True,
        )[0, len(prompt) :].tolist()
    model.train(was_training)
    return written


def questions(held_out: Examples | None, count: int) -> list[Question]:
    """Return the first ``count`` rows; of a row that was divided, the first part."""
    found: list[Question] = []
    if held_out is None:
        return found
    starts = accumulate(held_out.lengths, initial=0)
    for start, length, line in zip(starts, held_out.lengths, held_out.lines, strict=False):
        if len(found) == count:
            break
        if found and found[-1].line == line:
            continue
        end = start + length
        row = Encoded([*held_out.input_ids[start:end]], [*held_out.labels[start:end]])
        cuts = runs(row)
        first = next(at for at, (_, trained) in enumerate(cuts) if trained)
        prompt = [token for tokens, _ in cuts[:first] for token in tokens]
        found.append(Question(line, prompt, cuts[first][0]))
    return found
