"""What the model answers by now: a few held-out questions, answered at each evaluation.

The same questions each time, greedily, so no random number is drawn and the training stays what it is.
"""

from itertools import accumulate, takewhile
from typing import Any

from transformers import TrainerCallback

from trainer import out_of_memory
from trainer.contract import events
from trainer.data.encode import Examples
from trainer.data.masks import IGNORED
from trainer.reporting import Reporter

TOKENS = 64  # of an answer
LETTERS = 400  # of a question, its end


class Samples(TrainerCallback):
    """Answers the first ``count`` held-out rows; what it says are the events' ``sample``."""

    def __init__(
        self,
        loop: Any,
        held_out: Examples,
        count: int,
        *,
        stop_id: int,
        reporter: Reporter,
        sharded: bool = False,
    ) -> None:
        self._loop = loop
        # The first has no model of its own then.
        self._all = sharded
        self._prompts = prompts(held_out, count)
        self._stop_id = stop_id
        self._reporter = reporter

    def on_evaluate(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        if not (state.is_world_process_zero or self._all):
            return
        where = f"while a sample is written at step {state.global_step}"
        for prompt in self._prompts:
            with out_of_memory.explained(where, "write no samples", ["samples=0"]):
                question, answer = self._answer(prompt)
            self._reporter.emit(events.Sample(step=state.global_step, prompt=question, text=answer))

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
                eos_token_id=self._stop_id,
                pad_token_id=tokenizer.pad_token_id,
                use_cache=True,
            )[0, len(prompt) :].tolist()
        model.train(was_training)
        asked = tokenizer.decode(prompt, skip_special_tokens=True)
        return asked[-LETTERS:], tokenizer.decode(written, skip_special_tokens=True)


def prompts(held_out: Examples, count: int) -> list[list[int]]:
    """Return the tokens of the first rows up to their first trained turn: what a user would send."""
    ends = accumulate(held_out.lengths[:count], initial=0)
    found = []
    for start, length in zip(ends, held_out.lengths[:count], strict=False):
        labels = held_out.labels[start : start + length]
        context = sum(1 for _ in takewhile(lambda label: label == IGNORED, labels))
        found.append(list(held_out.input_ids[start : start + context]))
    return found
