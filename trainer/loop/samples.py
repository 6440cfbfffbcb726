"""Samples: at each evaluation of the loss the model answers a few held-out rows.

The rows stay the same, and decoding is greedy: no random number is drawn, so that the training is unchanged.
"""

from itertools import accumulate, takewhile
from typing import Any

from transformers import TrainerCallback

from trainer import out_of_memory
from trainer.contract import events
from trainer.data.encode import Examples
from trainer.data.masks import IGNORED
from trainer.run_context import Run

TOKENS = 64  # of an answer
LETTERS = 400  # of the end of a question


class Samples(TrainerCallback):
    """Answers the first held-out rows of a run, and writes the answers as ``sample`` events."""

    def __init__(self, loop: Any, run: Run) -> None:
        self._loop, self._run = loop, run
        self._prompts = prompts(run.prepared.eval_examples, run.job.samples)

    def on_evaluate(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        # With a divided base every process takes part.
        if not (state.is_world_process_zero or self._run.sharded):
            return
        where = f"while a sample is written at step {state.global_step}"
        for prompt in self._prompts:
            with out_of_memory.explained(where, "write no samples", ["samples=0"]):
                question, answer = self._answer(prompt)
            sample = events.Sample(step=state.global_step, prompt=question, text=answer)
            self._run.reporter.emit(sample)

    def _answer(self, prompt: list[int]) -> tuple[str, str]:
        import torch

        loop, tokenizer = self._loop, self._loop.processing_class
        model, ids = loop.model, torch.tensor([prompt], device=loop.args.device)
        was_training = model.training
        model.eval()
        with torch.no_grad(), loop.compute_loss_context_manager():
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=TOKENS,
                eos_token_id=self._run.prepared.stop_id,
                pad_token_id=tokenizer.pad_token_id,
                use_cache=True,
            )[0, len(prompt) :].tolist()
        model.train(was_training)
        question = tokenizer.decode(prompt, skip_special_tokens=True)
        return question[-LETTERS:], tokenizer.decode(written, skip_special_tokens=True)


def prompts(held_out: Examples | None, count: int) -> list[list[int]]:
    """Return the tokens of the first rows up to their first trained turn."""
    if held_out is None:
        return []
    ends = accumulate(held_out.lengths[:count], initial=0)
    found = []
    for start, length in zip(ends, held_out.lengths[:count], strict=False):
        labels = held_out.labels[start : start + length]
        context = sum(1 for _ in takewhile(lambda label: label == IGNORED, labels))
        found.append(list(held_out.input_ids[start : start + context]))
    return found
