"""The reload proof: the saved adapter, loaded on a clean base as a user does, computes what was trained."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.attention import kernels
from trainer.attention.agreement import Agreement
from trainer.attention.of_model import attention_of, own_attention
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.manifest import ReloadProof
from trainer.data.masks import IGNORED
from trainer.data.prepare import Prepared
from trainer.loop import selftest
from trainer.pretrained import load_base
from trainer.processes import fsdp

POSITIONS = 64  # the last ones of a row, whose logits are compared


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trained model computes on the rows of the proof.

    ``own``: logits of each row's last positions with the model's own attention. ``packed``: log-probabilities
    of each row's tokens as in training, if packed rows were trained.
    """

    own: list[Any]
    packed: list[Any] | None = None


def of_loop(loop: Any, rows: Sequence[Sequence[int]], own: str) -> Trained:
    """Return what the model of a training loop computes; afterwards its adapter is in fp32."""
    model = as_loaded(loop.model)
    packed = None
    if kernels.packs(attention_of(model)):
        packed = selftest.packed(loop, rows)
    # Without the loop's autocast, as the proof loads the model without it.
    bare = loop.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    with own_attention(bare, own):
        return Trained(logits(bare, rows), packed)


def as_loaded(model: Any) -> Any:
    """Convert a trained model's adapter to fp32, as PEFT loads it (TRL trains it in bf16 on NF4)."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def logits(model: Any, rows: Sequence[Sequence[int]]) -> list[Any]:
    """Return, for each of ``rows``, the logits at its last positions, on the CPU in fp32."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for ids in rows:
            batch = torch.tensor([list(ids)], device=model.device)
            logits = model(input_ids=batch, use_cache=False).logits[0]
            found.append(logits[-POSITIONS:].float().cpu())
    return found


def log_probs(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[Any]:
    """Return the log-probabilities of each row's trained tokens, except its first, which nothing predicts."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for ids, labels in rows:
            batch = torch.tensor([ids], device=model.device)
            wanted = torch.tensor(labels[1:], device=model.device)
            trained = wanted != IGNORED
            logits = model(input_ids=batch, use_cache=False).logits[0, :-1][trained].float()
            chosen = torch.log_softmax(logits, dim=-1).gather(1, wanted[trained][:, None])
            found.append(chosen[:, 0].cpu())
    return found


def prove(
    trained: Trained,
    prepared: Prepared,
    adapter: Path,
    *,
    note: Callable[[str], None],
    sharded: bool = False,
) -> ReloadProof:
    """Load a clean base and the adapter from disk, and compare them with what was trained.

    With the same attention, the logits may differ only as two runs of one model do; with the attention of
    training, only as two exact ways do (``trainer.attention.agreement``). ``sharded``: every process holds a
    part of the base, and calls this. Raises ``TrainingFailed`` if they differ more, or if the adapter changes
    nothing.
    """
    from peft import PeftModel

    plan, rows = prepared.plan, prepared.proof_rows
    gc.collect()
    base = load_base(prepared.source, plan.numerics, attention=plan.own_attention, sharded=sharded)
    model = PeftModel.from_pretrained(base, adapter)
    if sharded:
        fsdp.wrap(model)
    loaded, again = logits(model, rows), logits(model, rows)
    with model.disable_adapter():
        plain = logits(model, rows)
    lengths = [len(row) for row in rows]
    same = Agreement(
        list(zip(lengths, _largest(trained.own, loaded), strict=True)),
        rounding=max(_largest(loaded, again)),
        fault=max(_largest(plain, loaded)),
    )
    if not same.holds:
        raise TrainingFailed(
            f"the saved adapter does not compute what was trained: logits differ by {same.apart:.3g}, "
            f"where {same.limit:.2g} is rounding",
            "report this with train.log; the checkpoint is kept",
        )
    if same.fault == 0.0:
        raise TrainingFailed(
            "the adapter changes nothing", "train for more steps, or with a higher learning rate"
        )
    found = None
    if trained.packed:
        found = _as_trained(trained.packed, model, rows, plan.numerics.context)
        note(selftest.text(found, "the base without the adapter"))
        if not found.holds:
            raise TrainingFailed(
                "attention over packed rows is not the model's own: the trained model differs by "
                f"{found.apart:.2g} nats a token from the adapter as it is served, where "
                f"{found.limit:.2g} is rounding",
                "report this with train.log; until then train each row in its own micro-batch: --set plan.tokens=1",
            )
    return ReloadProof(
        equal=True,
        max_abs_diff=same.apart,
        tolerance=same.limit,
        base_max_abs_diff=same.fault,
        rows=len(rows),
        attention_diff=found and found.apart,
    )


def _as_trained(
    packed: Sequence[Any], model: Any, rows: Sequence[Sequence[int]], context: Callable[[], Any]
) -> Agreement:
    """Compare the attention of training with the loaded model's own, on the rows of the proof."""
    labelled = [(list(row), list(row)) for row in rows]
    with context():
        own = log_probs(model, labelled)
        with own_attention(model, "eager"):
            eager = log_probs(model, labelled)
        with model.disable_adapter():
            plain = log_probs(model, labelled)
    return Agreement.of(map(len, rows), packed, own, exact=eager, faulty=plain)


def _largest(left: Sequence[Any], right: Sequence[Any]) -> list[float]:
    return [float((a - b).abs().max()) for a, b in zip(left, right, strict=True)]
