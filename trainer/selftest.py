"""Before the first step: rows that lie end to end in a pass must be to the model what each is alone."""

import math
from typing import Any

from trainer.contract.errors import TrainingFailed

ROWS = 4
AMONG = 64
# Mean difference of a trained token's log-probability that rounding explains.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.03, "nf4": 0.03}


def prove_packing(loop: Any, precision: str) -> float | None:
    """Return by how much packing changes a trained token's log-probability, on average.

    The few shortest of the first rows are taken, alone without what packing adds. ``None`` when no two
    of them share a pass. Raises ``TrainingFailed`` when rounding does not explain the difference.
    """
    import torch

    first = [loop.train_dataset[at] for at in range(min(AMONG, len(loop.train_dataset)))]
    shortest = sorted(first, key=lambda row: len(row["input_ids"]))
    for count in (ROWS, 2):
        rows = shortest[:count]
        passes = list(loop.passes(rows))
        if len(passes) == 1 < len(rows):
            break
    else:
        return None
    # In the order in which they were joined: the longest first.
    alone = [
        {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}
        for row in sorted(rows, key=lambda row: -len(row["input_ids"]))
    ]
    was_training = loop.model.training
    loop.model.eval()
    packed = _log_probs(loop, passes[0])
    plain = torch.cat([_log_probs(loop, row) for row in alone])
    loop.model.train(was_training)
    apart = float((packed - plain).abs().mean()) if len(packed) == len(plain) else float("inf")
    if math.isnan(apart):
        # The first step will say so, and what to do.
        return None
    if apart > TOLERANCE[precision]:
        raise TrainingFailed(
            f"rows that share a pass are not what they are alone: log-probabilities differ by {apart:.2g}",
            "report this with train.log; until then --set plan.tokens=1 gives each row its own pass",
        )
    return apart


def _log_probs(loop: Any, inputs: dict[str, Any]) -> Any:
    """The log-probability of every trained token, in order, on the CPU."""
    import torch

    with torch.no_grad(), loop.compute_loss_context_manager():
        ready = loop._prepare_inputs(inputs)  # noqa: SLF001 - the trainer's own way to its device
        outputs = loop.model(**ready, use_cache=False, fused_lm_head=True)
    return outputs.log_probs[outputs.label_mask].float().cpu()
