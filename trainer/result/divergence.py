"""How far an adapter moved its base on general prompts, which are unlike the data: the KL divergence.

For each answer of ``general_prompts.jsonl`` it is the mean, over the answer's tokens, of KL(base || adapter) of the
distributions of the next token, in nats.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from trainer.contract import events
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_each
from trainer.data.masks import IGNORED
from trainer.data.prepare import Prepared
from trainer.data.templates import learn_format

PROMPTS = Path(__file__).with_name("general_prompts.jsonl")


def measure(
    model: Any, prepared: Prepared, step: int, context: AbstractContextManager[Any]
) -> events.Divergence | None:
    """Measure a PEFT model, with and without its adapter; None if the template renders none of the prompts.

    None for the bundled model too, which has learned nothing general. ``context``: as in training. With a divided
    base every process calls this.
    """
    import torch

    if prepared.source.name.startswith("bundled:"):
        return None
    was_training = model.training
    model.eval()
    each = []
    with torch.no_grad(), context:
        for prompt, ids, labels in _encoded(prepared.tokenizer):
            batch = torch.tensor([ids], device=model.device)
            answer = torch.tensor(labels[1:], device=model.device) != IGNORED
            adapter = _log_probs(model, batch, answer)
            with model.disable_adapter():
                base = _log_probs(model, batch, answer)
            summed = torch.nn.functional.kl_div(adapter, base, reduction="sum", log_target=True)
            each.append((prompt, round(float(summed) / len(base), 6)))
    model.train(was_training)
    return events.Divergence(step=step, each=each) if each else None


def _encoded(tokenizer: Any) -> list[tuple[str, list[int], list[int]]]:
    """Return (prompt, token ids, labels) of the prompts that the tokenizer's template can render."""
    rows = read_rows(PROMPTS).rows
    encoded = encode_each(rows, learn_format(tokenizer), lambda _line, _finding: None)
    return [
        (row.messages[0]["content"], one.input_ids, one.labels)
        for row, parts in encoded
        for _, one in parts
    ]


def _log_probs(model: Any, batch: Any, answer: Any) -> Any:
    """Return the log-probabilities of the whole vocabulary at the positions before the answer's tokens."""
    logits = model(input_ids=batch, use_cache=False).logits[0, :-1][answer]
    return logits.float().log_softmax(-1)
