"""Chooses the attention for a base: the first of three that a small model of its class proves exact.

First packed rows through ``trainer.attention.kernels``, then each row alone through the model's own sdpa or
eager attention. Each is compared with the model's own eager attention in plain transformers, each row alone.
This needs no weights and takes seconds, so that an unsuitable base is known before anything costs money.
"""

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.adapter import lora_config, save_weights
from trainer.attention import kernels, small_model
from trainer.contract.command.errors import Fault, ModelUnavailable
from trainer.contract.manifest import check_adapter
from trainer.contract.options import Lora

OWN = ("sdpa", "eager")
# Differences of log-probabilities, in units of their standard deviation, that count as rounding in fp32: at
# least LIMIT, for a deep model (Gemma 3n) its difference to fp64 times ROUNDINGS, and at most MOST.
LIMIT, ROUNDINGS, MOST = 1e-3, 10, 1e-2
NUDGE = 0.05  # the largest change of an adapter's weight in the one step


@dataclass(frozen=True, slots=True)
class Choice:
    """``attention``: the implementation's name. ``reason``: why rows are not packed; empty if they are."""

    attention: str
    reason: str = ""

    @property
    def text(self) -> str:
        """Return a sentence on how rows are trained."""
        if kernels.packs(self.attention):
            return "rows are packed: several share a micro-batch, and each attends only to itself"
        return (
            f"{self.reason}: each row is a separate micro-batch, with the model's own attention "
            f"({self.attention})"
        )


def choose(config: Any, lora: Lora, *, longest: int, packed: str = kernels.ROWS) -> Choice:
    """Try attentions for ``config``'s model on rows of at most ``longest`` tokens; return the first exact one.

    ``packed``: the implementation to return if rows can be packed; ``ROWS`` is the one that is tried. Raises
    ``ModelUnavailable`` with the reason if none is exact.
    """
    import torch

    # The run's random numbers stay unchanged.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small, judge, reason = _reference(config, longest)
        reasons: list[str] = []
        for name in (kernels.ROWS, *OWN) if small is not None else ():
            reason = _why_not(_try(small, name, lora, judge))
            if not reason:
                return Choice(packed if name == kernels.ROWS else name, "".join(reasons[:1]))
            reasons.append(reason)
    kind = getattr(config, "model_type", type(config).__name__)
    raise ModelUnavailable(
        f"a base of the type {kind!r} cannot be trained: {reason}",
        "choose another base model; docs/models.md lists the usable ones",
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """The rows' log-probabilities from the model itself, and the difference that counts as rounding."""

    expected: Any = None
    limit: float = LIMIT

    def differ(self, found: list[Any], expected: list[Any] | None = None) -> str:
        """Return by how much ``found`` differs; empty if that is rounding."""
        apart = _apart(found, self.expected if expected is None else expected)
        if apart <= self.limit:  # false for NaN
            return ""
        return f" by {apart:.1e} of their spread, where rounding is {self.limit:.0e}"


def _judge(model: Any) -> _Judge:
    expected = _plain(model)
    try:
        rounding = _apart(expected, _plain(model.double()))
    except RuntimeError:
        # torch has no product of grouped experts in fp64.
        return _Judge(expected)
    return _Judge(expected, min(MOST, max(LIMIT, ROUNDINGS * rounding)))


def _reference(config: Any, longest: int) -> tuple[Any, _Judge, str]:
    """Return the small config and its judge, or the reason why no small model can be made."""
    reason = ""
    for narrow in (True, False):
        try:
            small = small_model.shrink(config, longest, narrow=narrow)
            return small, _judge(small_model.build(small, "eager")), ""
        except Exception as error:  # noqa: BLE001 - any class of model may raise any error
            reason = reason or _first_line(error)
    return None, _Judge(), f"no small model of its class can be made ({reason})"


def _why_not(steps: Iterator[str]) -> str:
    """Return the first fault or error of ``steps``; empty without any."""
    try:
        return next(filter(None, steps), "")
    except Fault as fault:
        return fault.cause
    except Exception as error:  # noqa: BLE001 - as above: the base is refused
        return f"its code fails ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _try(small: Any, name: str, lora: Lora, judge: _Judge) -> Iterator[str]:
    """Train the small model as the loop trains the base; yield a reason for each fault."""
    import torch
    from peft import PeftModel, get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    kernels.register()
    model = small_model.build(small, name)
    add_fused_lm_head(model)
    batches = list(_batches(name))
    with torch.no_grad():
        found = [_score(model, batch) for batch in batches]
    if by := judge.differ(found):
        yield f"its logits differ from those of its eager attention{by}"
    model = get_peft_model(model, lora_config(lora, None))
    _step(model, batches)
    with torch.no_grad():
        trained = [_score(model.eval(), batch) for batch in batches]
    with tempfile.TemporaryDirectory() as folder:
        save_weights(model, Path(folder))
        yield "; ".join(check_adapter(Path(folder))[:1])
        loaded = PeftModel.from_pretrained(small_model.build(small, "eager"), folder)
    if by := judge.differ(trained, _plain(loaded)):
        yield f"its saved adapter does not compute what was trained: logits differ{by}"
    if not judge.differ(trained):
        yield "a step of training changes nothing"


def _batches(name: str) -> Iterator[dict[str, Any]]:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    rows = [{"input_ids": ids.tolist(), "labels": ids.tolist()} for ids in small_model.rows()]
    if kernels.packs(name):
        yield dict(DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(rows))
        return
    yield from (alone(row) for row in rows)


def alone(row: dict[str, list[int]]) -> dict[str, Any]:
    """Return a micro-batch of one row, for the model's own attention."""
    import torch

    batch = {name: torch.tensor([row[name]]) for name in ("input_ids", "labels")}
    return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}


def _score(model: Any, batch: dict[str, Any]) -> Any:
    """Return the log-probabilities of all trained tokens, in order."""
    outputs = model(**batch, use_cache=False, fused_lm_head=True)
    return outputs.log_probs[outputs.label_mask]


def _plain(model: Any) -> list[Any]:
    """Return the same computed by plain transformers, row by row."""
    import torch

    found = []
    with torch.no_grad():
        for ids in small_model.rows():
            logits = model.eval()(input_ids=ids[None], use_cache=False).logits[0, :-1]
            found.append(logits.log_softmax(-1).gather(1, ids[1:, None])[:, 0])
    return found


def _step(model: Any, batches: list[dict[str, Any]]) -> None:
    """Take one step on all rows with every layer recomputed, as the loop does."""
    import torch

    model.activation_checkpointing_enable()
    model.train()
    for batch in batches:
        model(**batch, use_cache=False, fused_lm_head=True).loss.backward()
    learning = [weight for weight in model.parameters() if weight.grad is not None]
    with torch.no_grad():
        for weight in learning:
            weight.sub_(NUDGE * weight.grad / weight.grad.abs().max().clamp(min=1e-12))
    model.zero_grad()


def _apart(left: list[Any], right: list[Any]) -> float:
    """Return the largest difference, in units of the standard deviation of ``right``."""
    import torch

    a, b = torch.cat(left).double(), torch.cat(right).double()
    return float((a - b).abs().max() / b.std()) if len(a) == len(b) else float("inf")
