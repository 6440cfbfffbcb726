"""What a run's journal, events and files prove: each promise with its evidence, or the fault that broke it.

Reads the run folder and changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from launcher.doctor import Finding
from launcher.quote.measured import Measured, last_prediction
from launcher.quote.speed import REACHED
from launcher.runs import run_state
from launcher.runs.rented_pods import RentedPod
from launcher.runs.run_folder import Run
from trainer.contract import events, manifest
from trainer.contract import pod as border
from trainer.contract.command.errors import Fault
from trainer.contract.event_text import clock

MEMORY = 1.1
"""A peak of up to this much of the prediction holds: the trainer leaves that room."""


@dataclass(frozen=True)
class Record:
    """What is on this machine of a run that has ended."""

    run: Run

    @cached_property
    def pod(self) -> RentedPod | None:
        """The newest pod."""
        return run_state.read_leniently(self.run.journal).pod

    @cached_property
    def events(self) -> list[events.Event]:
        return events.read(self.run.events)[0]

    @property
    def device(self) -> str:
        """The device that it trained on; empty when it never got that far."""
        plans = [event for event in self.events if isinstance(event, events.Plan)]
        return plans[-1].device if plans else ""

    @property
    def on_card(self) -> bool:
        return bool(self.device) and not self.device.startswith("cpu")


def image_pull(record: Record) -> str | None:
    pod = record.pod
    if pod is None or pod.up is None:
        return None
    return f"{pod.image} on {pod.gpu}: SSH access {clock(pod.up - pod.since)} after the rental"


def host_key(record: Record) -> str | None:
    if record.pod is None or not record.pod.has_job:
        return None
    return "the pod's SSH port has the host key of its log; only then was anything uploaded"


def guard_rehearsal(record: Record) -> str | None:
    told = [e for e in record.events if isinstance(e, events.Phase) and e.name == "probed"]
    detail = told[-1].detail if told else ""
    able = detail.startswith((border.MAY_ACT, border.MAY_STOP, border.MAY_DELETE))
    return f"by the answers to its own key, the pod {detail}" if able else None


def training(record: Record) -> str | None:
    steps = [event for event in record.events if isinstance(event, events.Step)]
    if not steps or not any(isinstance(event, events.Done) for event in record.events):
        return None
    return f"{steps[-1].step} steps on {record.device}, loss {steps[0].loss:.3f} -> {steps[-1].loss:.3f}"


def self_test(record: Record) -> str | None:
    """The trainer's own proofs: the adapter reloads, and packed attention is the model's own."""
    proof = _manifest(record).get("reload_proof") or {}
    if not proof.get("equal"):
        return None
    apart = proof.get("attention_diff")
    packed = "" if apart is None else f"; packed attention differs by {apart:.2g} nats a token"
    return f"the saved adapter has the trained model's logits on {proof['rows']} rows{packed}"


def download(record: Record) -> str | None:
    if record.pod is None or not record.pod.fetched:
        return None
    try:
        proof = manifest.verify(record.run.folder)
    except Fault:
        return None
    return f"{len(proof.files)} files, each with the hash in the manifest"


def _manifest(record: Record) -> dict[str, Any]:
    try:
        return manifest.load(record.run.manifest).model_dump()
    except Fault:
        return {}


TRAINED: dict[str, Callable[[Record], str | None]] = {
    "image pull": image_pull,
    "host key pinned": host_key,
    "guard rehearsal": guard_rehearsal,
    "training": training,
    "self-test": self_test,
    "download": download,
}


def of_training(record: Record, fault: Fault | None) -> list[Finding]:
    """A finding for each promise: held with its evidence; the first without any broke by ``fault``."""
    found: list[Finding] = []
    for what, prove in TRAINED.items():
        evidence = prove(record)
        if evidence is not None:
            found.append(Finding(what, ok=True, detail=evidence))
        elif all(one.ok for one in found):
            cause = fault.cause if fault else "the run left no evidence of it"
            found.append(Finding(what, ok=False, detail=cause, remedy=fault.hint if fault else ""))
        else:
            found.append(Finding(what, ok=None, detail="not reached"))
    return found


def of_card(what: str, one: Measured | None, fault: Fault | None) -> Finding:
    """Whether speed and memory at a real shape are as predicted."""
    if one is None:
        detail = fault.cause if fault else "the run left no figures"
        return Finding(what, ok=False, detail=detail, remedy=fault.hint if fault else "")
    rate, predicted = one.tokens_per_second, one.predicted_tokens_per_second
    known = rate and predicted and one.peak_bytes and one.predicted_bytes
    low, high = (REACHED[part] / REACHED["likely"] for part in ("high", "low"))
    held = (
        bool(known)
        and low <= (rate or 0) / (predicted or 1) <= high
        and (one.peak_bytes or 0) <= MEMORY * (one.predicted_bytes or 0)
    )
    said = "; ".join(last_prediction(one)) or "speed or memory is unknown"
    return Finding(what, ok=held, detail=f"{one.model} on {one.card}: {said}")


def of_bill(receipts: Sequence[dict[str, Any]], run: str) -> Finding:
    """What RunPod charged for all runs against their quotes; open while its bill lags."""
    charged = sum(one["charged"] for one in receipts)
    most = sum(one["quoted_most"] for one in receipts)
    detail = f"charged ${charged:.4f}, quoted at most ${most:.2f}"
    if not all(one["settled"] for one in receipts):
        return Finding(
            "bill", ok=None, detail=f"{detail}; not complete yet", remedy=f"launch receipt {run}"
        )
    return Finding("bill", ok=charged <= most, detail=detail)
