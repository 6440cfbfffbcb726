"""Rows held out for the evaluation loss, which step has the lowest one, and when to stop.

A run's history (transformers' ``log_history``) has the mean loss as ``eval_loss``, the loss of each turn as
``ADAPTER``, and once as ``BASE`` each turn with the base's loss.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.contract.rows import Row
from trainer.contract.sizing import evaluations as border
from trainer.data.duplicates import digest

BASE, ADAPTER = "base_turns", "eval_turns"
Turn = tuple[int, int, float]
"""Line of the row, tokens, nats per token."""


def hold_out(rows: Sequence[Row], *, share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Return (rows to train on, rows held out), each in the order given.

    Chosen by the content of a row, so that equal rows are on one side. At most
    ``trainer.contract.sizing.evaluations.count`` rows are held out.
    """
    wanted = border.count(len(rows), share=share)
    if not wanted:
        return list(rows), []
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[digest(row)].append(row)
    held: set[int] = set()
    for key in sorted(groups, key=lambda key: hashlib.sha256(f"{seed}/{key}".encode()).digest()):
        if len(held) + len(groups[key]) <= wanted:
            held |= {row.line for row in groups[key]}
    return [r for r in rows if r.line not in held], [r for r in rows if r.line in held]


def mean(turns: Sequence[Turn]) -> float:
    """Return the mean loss in nats per token."""
    return sum(tokens * loss for _, tokens, loss in turns) / max(1, sum(n for _, n, _ in turns))


def base_turns(history: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Return the base's loss of each held-out turn; empty if it was not measured."""
    return next((entry[BASE] for entry in history if BASE in entry), [])


def best(history: Sequence[Mapping[str, float]]) -> tuple[int, float] | None:
    """Return (step, loss) of the lowest evaluation loss, the first of equals; ``None`` without any."""
    found = [(entry["eval_loss"], int(entry["step"])) for entry in history if "eval_loss" in entry]
    loss, step = min(found, default=(0.0, 0))
    return (step, loss) if found else None


def is_over(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Return whether the last ``patience`` evaluations were all no better than an earlier one."""
    lowest = best(history)
    if patience is None or lowest is None:
        return False
    since = [e for e in history if "eval_loss" in e and e["step"] > lowest[0]]
    return len(since) >= patience
