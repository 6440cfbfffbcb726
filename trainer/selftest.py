"""Before the first step: rows that lie end to end in a pass must be to the model what each is alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer import together
from trainer.contract.errors import TrainingFailed

ROWS = 4
AMONG = 64
# Difference of a trained token's log-probability, the mean of a row, that rounding explains.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.03, "nf4": 0.03}
# Of what the same rows change by when each sees all before it: less is no leak, but another kernel that
# multiplies in fewer bits (TF32 keeps 10, so it is off by a thousandth).
SHARE = 1e-3
# What the machine differs by from itself is no leak either, nor is some more of it.
NOISE = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """Differences in nats a trained token. ``rows``: (tokens, difference when packed) of each row.

    ``noise`` is what two passes of the same row alone differ by, ``leak`` what rows that all see those
    before them do; both of the row that differs most.
    """

    rows: list[tuple[int, float]]
    noise: float
    leak: float

    @property
    def apart(self) -> float:
        return max(apart for _, apart in self.rows)

    def limit(self, precision: str) -> float:
        """The largest difference that is no leak."""
        return max(TOLERANCE[precision], SHARE * self.leak, NOISE * self.noise)

    def explained(self, precision: str) -> bool:
        return self.apart <= self.limit(precision)

    def text(self) -> str:
        each = ", ".join(f"{tokens} tokens {apart:.1e}" for tokens, apart in self.rows)
        return (
            f"rows that share a pass differ by {self.apart:.1e} from what they are alone, alone again by "
            f"{self.noise:.1e}, and when they see each other by {self.leak:.1e} ({each})"
        )


def prove_packing(
    loop: Any,
    precision: str,
    *,
    note: Callable[[str], None],
    warn: Callable[[str], None],
    sharded: bool = False,
) -> Measured | None:
    """Measure by how much packing changes the log-probabilities of trained tokens, and ``note`` it.

    The few shortest of the first rows are taken, alone without what packing adds. ``None`` when no two
    of them share a pass. What is too much is measured once more: a leak is there again. Raises
    ``TrainingFailed`` then; what has gone is a fault of the machine, and a warning.
    """
    rows = _rows(loop)
    if rows is None:
        return None
    first = _measure(loop, rows)
    note(first.text())
    # Of a loss that is no number the first step will say so, and what to do.
    settled = math.isnan(first.apart) or first.explained(precision)
    # Where all meet in each pass, one process cannot measure again alone.
    if sharded:
        settled = together.any_of([not settled]) == [False]
    if settled:
        return first
    note(_machine())
    again = _measure(loop, rows)
    note(again.text())
    both = f"{first.apart:.2g}, and measured again {again.apart:.2g}"
    if not again.explained(precision):
        raise TrainingFailed(
            "rows that share a pass are not what they are alone: "
            f"log-probabilities differ by {both}, where {again.limit(precision):.2g} is rounding",
            "report this with train.log; until then --set plan.tokens=1 gives each row its own pass",
        )
    warn(
        f"rows that share a pass differed from what they are alone by {both}: not a leak, for that would "
        "have stayed, but this machine may not compute the same twice (see train.log)"
    )
    return again


def _rows(loop: Any) -> list[dict[str, list[int]]] | None:
    """Rows of which at least two share a pass, in the order in which they are joined: the longest first."""
    first = [loop.train_dataset[at] for at in range(min(AMONG, len(loop.train_dataset)))]
    shortest = sorted(first, key=lambda row: len(row["input_ids"]))
    for count in (ROWS, 2):
        rows = shortest[:count]
        if len(list(loop.passes(rows))) == 1 < len(rows):
            return sorted(rows, key=lambda row: -len(row["input_ids"]))
    return None


def _measure(loop: Any, rows: Sequence[dict[str, list[int]]]) -> Measured:
    import torch

    # A row's first label is predicted by nothing, so in one run of all rows it must not count either.
    whole: dict[str, list[int]] = {"input_ids": [], "labels": []}
    for row in rows:
        whole["input_ids"] += row["input_ids"]
        whole["labels"] += [-100, *row["labels"][1:]]
    was_training = loop.model.training
    loop.model.eval()
    (joined,) = loop.passes(rows)
    packed = _log_probs(loop, joined)
    alone = [_log_probs(loop, _plain(row)) for row in rows]
    again = [_log_probs(loop, _plain(row)) for row in rows]
    leaking = _log_probs(loop, _plain(whole))
    loop.model.train(was_training)
    sizes = [len(found) for found in alone]
    lengths = [len(row["input_ids"]) for row in rows]
    if len(packed) != sum(sizes):
        return Measured([(length, math.inf) for length in lengths], 0.0, 0.0)

    def apart(left: Sequence[Any], right: Sequence[Any]) -> list[float]:
        pairs = zip(left, right, strict=True)
        return [float((a - b).abs().mean()) if len(a) else 0.0 for a, b in pairs]

    return Measured(
        list(zip(lengths, apart(torch.split(packed, sizes), alone), strict=True)),
        max(apart(again, alone)),
        max(apart(torch.split(leaking, sizes), alone)),
    )


def _plain(row: dict[str, list[int]]) -> dict[str, Any]:
    import torch

    return {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}


def _log_probs(loop: Any, inputs: dict[str, Any]) -> Any:
    """The log-probability of every trained token, in order, on the CPU."""
    import torch

    with torch.no_grad(), loop.compute_loss_context_manager():
        ready = loop._prepare_inputs(inputs)  # noqa: SLF001 - the trainer's own way to its device
        outputs = loop.model(**ready, use_cache=False, fused_lm_head=True)
    return outputs.log_probs[outputs.label_mask].float().cpu()


def _machine() -> str:
    """What decides which kernels torch takes, for whoever looks for the cause."""
    import torch

    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, fp32 products in "
        f"{torch.backends.mkldnn.matmul.fp32_precision} on the CPU and "
        f"{torch.backends.cuda.matmul.fp32_precision} on a card\n{torch.__config__.show()}"
    )
