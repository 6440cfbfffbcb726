"""Compares the kept adapter with its base on the held-out rows, from a run's history."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from trainer.contract.events import HeldOut, HeldOutRow
from trainer.data import holdout


def compare(history: Sequence[Mapping[str, Any]], step: int) -> HeldOut | None:
    """Return the comparison for the adapter of ``step``; None if either loss was not measured, or is not finite.

    A row is a whole chat, also where its turns were trained as several rows: its turns are not independent.
    """
    base = holdout.base_turns(history)
    adapter: Sequence[float] | None = next(
        (e[holdout.ADAPTER] for e in history if e["step"] == step and holdout.ADAPTER in e), None
    )
    if (
        not base
        or adapter is None
        or not all(map(math.isfinite, (*adapter, *(t[2] for t in base))))
    ):
        return None
    both = [(line, (n, old, new)) for (line, n, old), new in zip(base, adapter, strict=True)]
    rows = [
        HeldOutRow(line=line, turns=[turn for _, turn in found])
        for line, found in groupby(both, key=lambda turn: turn[0])
    ]
    differences = [new - old for old, new in (row.losses for row in rows)]
    better, worse = (sum(sign * d > 0 for d in differences) for sign in (-1, 1))
    return HeldOut(
        step=step,
        rows=rows,
        base_loss=round(holdout.mean(base), 6),
        loss=round(holdout.mean([(line, n, new) for line, (n, _, new) in both]), 6),
        better=better,
        worse=worse,
        p=sign_test(better, worse),
    )


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p of the exact sign test: equal chances that a row gets better or worse.

    McNemar's exact test is the same test on right and wrong answers.
    """
    n, fewer = better + worse, min(better, worse)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << n))
