"""Delete pods, and read what they cost."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, Api, BillingRecord
from launcher.runs.run_folder import Run, key_file
from launcher.runs.run_state import RunState
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import Fault, NotFound

ASK = 2.0  # seconds between two looks at the bill
LAG = 7200.0  # seconds after a pod's end from which its bill is whole
MORE = 1.02  # times the cost by time, from which a bill counts at once
OVERCHARGED = 1.1  # times the reckoned cost
SETTLED = 0.8  # share of the reckoned cost from which a bill counts as whole


def release(rental: Rental, *, reason: str) -> None:
    """Delete every pod of the run and confirm that none is left; may be called again.

    Raises ``ApiUnavailable`` when that cannot be confirmed: in the journal a pod may then still exist;
    ``OSError`` when the pods are gone but the journal cannot be written.
    """
    pod, api = rental.state.living, rental.api
    if pod is None:
        return
    try:
        with rental.log.effect("release", pod=pod.id, reason=reason):
            for pod_id in pods_of(rental.state, api):
                rental.say(f"deleting pod {pod_id}")
                api.release(pod_id, unseen=pod.since + UNSEEN - rental.now())
    except OSError:
        for pod_id in pods_of(rental.state, api):
            api.release(pod_id)
        raise
    key_file(rental.run, rental.context.world).unlink(missing_ok=True)


def pods_of(state: RunState, api: Api) -> list[str]:
    """Every pod that has one of the run's names, and the one in the journal."""
    known = [state.living.id] if state.living and state.living.id else []
    return list(dict.fromkeys([*known, *(pod.id for pod in api.pods() if pod.name in state.names)]))


def must_have_rented(run: Run, state: RunState) -> None:
    """Raise ``NotFound`` if the run has rented nothing."""
    if not state.pods:
        raise NotFound(f"run {run.id} has rented no pod", "its cost is zero")


def receipt(rental: Rental, *, patience: float) -> dict[str, Any]:
    """Read the bill of every pod of the run until it is complete or ``patience`` seconds are over.

    Writes receipt.json. ``settled`` is false while the bill lags: ``launch receipt`` reads it again.
    """
    must_have_rented(rental.run, rental.state)
    pods, last = rental.state.pods, rental.pod
    since = datetime.fromtimestamp(pods[0].since - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    now = rental.now()
    reckoned = sum(pod.cost_by_time(now) for pod in pods)
    earlier = sum(pod.cost(now) for pod in pods[:-1])
    stopped = any(len(pod.times) > 1 for pod in pods)  # since when, is not known
    while True:
        bills = {pod.id: rental.api.bill(pod.id, since=since) for pod in pods if pod.id}
        records = [record for bill in bills.values() for record in bill]
        charged = sum(record.total for record in records)
        settled = charged > 0 and (stopped or charged >= reckoned * SETTLED)
        if settled or rental.now() >= now + patience:
            break
        rental.context.world.sleep(ASK)
    _note_bills(rental, bills)
    facts = {
        "pod": last.id,
        "pods": [pod.id for pod in pods],
        "gpu": last.gpu,
        "seconds": round(sum(pod.seconds(now) for pod in pods)),
        "quoted_rate": last.rate,
        "quoted_most": round(last.most + earlier, 4),
        "reckoned": round(reckoned, 4),
        "charged": round(charged, 4),
        "charged_gpu": round(sum(record.gpu for record in records), 4),
        "charged_disk": round(sum(record.disk for record in records), 4),
        "settled": settled,
    }
    write_whole(rental.run.folder / "receipt.json", json.dumps(facts, indent=2) + "\n")
    return facts


def _note_bills(rental: Rental, bills: Mapping[str, Sequence[BillingRecord]]) -> None:
    """Journal what each pod that is gone was charged, once its bill is whole: that is what it has cost."""
    now = rental.now()
    for pod in rental.state.pods:
        charged = round(sum(record.total for record in bills.get(pod.id or "", ())), 6)
        whole = (
            now > (pod.times[-1].end or pod.gone_by) + LAG or charged > pod.cost_by_time(now) * MORE
        )
        if pod.released and charged and whole and charged != pod.charged:
            rental.log.fact("bill", pod=pod.id, charged=charged)


def receipt_lines(run: Run, facts: dict[str, Any]) -> list[str]:
    """The bill beside the quote."""
    most = facts["quoted_most"] or 0.0
    if facts["settled"]:
        paid = f"charged ${facts['charged']:.4f}"
    else:
        paid = (
            f"about ${facts['reckoned']:.4f} by elapsed time; RunPod's bill shows "
            f"${facts['charged']:.4f} so far, read it again with: launch receipt {run.id}"
        )
    several = f" and others, {len(facts['pods'])} pods" * (len(facts["pods"]) > 1)
    used = f"{facts['seconds']} s of {facts['gpu']}{several}"
    lines = [f"receipt  {paid} (quoted at most ${most:.2f}), {used}"]
    charged, reckoned = facts["charged"], facts["reckoned"]
    if facts["seconds"] and charged > reckoned * OVERCHARGED:
        rate = (
            f"${charged / facts['seconds'] * 3600:.2f}/h instead of ${facts['quoted_rate']:.2f}/h"
        )
        lines.append(
            f"CHARGED MORE THAN QUOTED: ${charged:.2f} for ${reckoned:.2f} by time, {rate}"
        )
        lines.append("  --max-cost counts what was charged; see the pod's rate in RunPod's console")
    return lines


def show_receipt(rental: Rental, *, patience: float) -> None:
    """Show what the run cost; a bill that cannot be read now does not fail the run."""
    try:
        facts = receipt(rental, patience=patience)
    except Fault as fault:
        rental.say(
            f"no receipt yet: {fault.cause}; read it later with: launch receipt {rental.run.id}"
        )
        return
    for text in receipt_lines(rental.run, facts):
        rental.say(text)
