"""Compares attention as trained with the model's own eager attention, on rows of the data.

It runs before the first step, and again on the trained model. The limit is measured on the same rows and
device: from the difference of the model's two attentions, eager and sdpa, and from the change if rows see
each other.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from trainer import device
from trainer.attention import kernels
from trainer.attention.agreement import Agreement
from trainer.attention.of_model import attention_of, own_attention
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.sizing.packing import first_fit
from trainer.processes import collective
from trainer.reporting import Reporter


def prove_attention(loop: Any, reporter: Reporter, *, sharded: bool = False) -> Agreement | None:
    """Compare, and write the result to the log; None if the model is trained with its own attention.

    A difference above the limit is measured again. If it stays, the attention has a fault: raises
    ``TrainingFailed``. If it is gone, the machine has one: a warning.
    """
    name = attention_of(loop.model)
    if not kernels.packs(name):
        return None
    rows = loop.proof_rows
    first = _measure(loop, rows)
    reporter.note(text(first))
    # A loss that is not a number fails the first step, whose message has the hint.
    settled = math.isnan(first.apart) or first.holds
    # With a divided base all processes must measure again together.
    if sharded:
        settled = collective.any_of([not settled]) == [False]
    if settled:
        return first
    reporter.note(device.describe())
    again = _measure(loop, rows)
    reporter.note(text(again))
    both = f"{first.apart:.2g}, and measured again {again.apart:.2g}"
    if not again.holds:
        raise TrainingFailed(
            "attention over packed rows is not the model's own: "
            f"log-probabilities differ by {both}, where {again.limit:.2g} is rounding",
            "report this with train.log; until then give each row its own micro-batch",
            settings=["plan.tokens=1"],
        )
    reporter.warn(
        f"attention over packed rows differed from the model's own by {both}: a fault in the code would "
        "have stayed, so this machine may compute wrong results (see train.log)"
    )
    return again


def text(found: Agreement, fault: str = "rows that see each other") -> str:
    """Return the measurement for the log; ``fault``: the name of the fault that ``found.fault`` measures."""
    each = ", ".join(f"{tokens} tokens {value:.1e}" for tokens, value in found.rows)
    return (
        f"attention: packed rows differ by {found.apart:.1e} nats a token from the model's own attention, "
        f"its own two ways by {found.rounding:.1e}, {fault} by {found.fault:.1e} ({each})"
    )


def _measure(loop: Any, rows: Sequence[Sequence[int]]) -> Agreement:
    tested = packed(loop, rows)
    with own_attention(loop.model, "eager"):
        eager = [_alone(loop, row) for row in rows]
        every = _alone(loop, [token for row in rows for token in row])
    with own_attention(loop.model, "sdpa"):
        sdpa = [_alone(loop, row) for row in rows]
    mixed = split_rows(every, rows)
    return Agreement.of(map(len, rows), tested, eager, exact=sdpa, faulty=mixed)


def packed(loop: Any, rows: Sequence[Sequence[int]]) -> list[Any]:
    """Return the log-probability of each token of ``rows`` but the first, computed as in training."""
    found: list[Any] = [None] * len(rows)
    for group in first_fit([len(row) for row in rows], loop.pass_tokens):
        mine = [rows[number] for number in group]
        joined = loop.join([{"input_ids": list(row), "labels": list(row)} for row in mine])
        parts = split_rows(log_probs(loop, joined), mine)
        for number, part in zip(group, parts, strict=True):
            found[number] = part
    return found


def _alone(loop: Any, row: Sequence[int]) -> Any:
    return log_probs(loop, {name: torch.tensor([list(row)]) for name in ("input_ids", "labels")})


def split_rows(found: Any, rows: Sequence[Sequence[int]]) -> list[Any]:
    """Split per row, without the first token of each row, which nothing predicts."""
    whole = torch.cat([found.new_zeros(1), found])
    return [part[1:] for part in torch.split(whole, [len(row) for row in rows])]


def log_probs(loop: Any, inputs: dict[str, Any]) -> Any:
    """Return the log-probability of each token but the first, on the CPU; 0 where the label is ignored."""
    was_training = loop.model.training
    loop.model.eval()
    with torch.no_grad(), loop.compute_loss_context_manager():
        ready = loop._prepare_inputs(inputs)  # noqa: SLF001 - the trainer moves inputs to its device with it
        found = loop.model(**ready, use_cache=False, fused_lm_head=True).log_probs[0]
    loop.model.train(was_training)
    return found.float().cpu()
