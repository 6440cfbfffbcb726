"""The loss of held-out rows, for each assistant turn; base and adapter are measured by the same code."""

from typing import Any

import torch

from trainer.contract.sizing.packing import first_fit
from trainer.data.masks import Encoded, runs
from trainer.loop.selftest import log_probs, split_rows

Row = dict[str, list[int]]


def turns(row: Row) -> list[tuple[int, int]]:
    """Return (start, end) of each trained turn of a row, without the row's first token, which nothing predicts."""
    found, at = [], 0
    for tokens, trained in runs(Encoded(row["input_ids"], row["labels"])):
        end = at + len(tokens)
        if trained and end > 1:
            found.append((max(at, 1), end))
        at = end
    return found


def measure(loop: Any, rows: list[Row], mine: list[int]) -> torch.Tensor:
    """Return the summed loss in nats of each turn of ``rows`` in order; 0 in rows that are not ``mine``."""
    losses = [[0.0] * len(turns(row)) for row in rows]
    for group in first_fit([len(rows[n]["input_ids"]) for n in mine], loop.pass_tokens):
        numbers = [mine[index] for index in group]
        each = log_probs(loop, loop.join([rows[n] for n in numbers]))
        parts = split_rows(each, [rows[n]["input_ids"] for n in numbers])
        for number, part in zip(numbers, parts, strict=True):
            # ``part`` starts with the row's second token.
            losses[number] = [
                -float(part[a - 1 : b - 1].double().sum()) for a, b in turns(rows[number])
            ]
    return torch.tensor([loss for row in losses for loss in row], dtype=torch.float64)
