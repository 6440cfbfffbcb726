"""Delete pods, and read what they cost."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launcher.runpod_api import UNSEEN, Api
from launcher.runs.rented_pods import Rented, Span, key_file, rented, spans, spent
from launcher.runs.run_folder import Log, Run
from launcher.scene import Scene
from trainer.contract.command.errors import Fault, NotFound

ASK = 2.0  # seconds between two looks at the bill
SETTLED = 0.8  # share of the reckoned cost from which a bill counts as whole


def release(run: Run, scene: Scene, api: Api, log: Log, *, reason: str) -> None:
    """Delete every pod of the run and confirm that none is left; may be called again.

    Raises ``ApiUnavailable`` when that cannot be confirmed: in the journal a pod may then still exist;
    ``OSError`` when the pods are gone but the journal cannot be written.
    """
    what = rented(log.entries)
    if what is None or what.released:
        return
    try:
        with log.effect("release", pod=what.pod, reason=reason):
            for pod_id in pods_of(what, api):
                scene.view.say(f"deleting pod {pod_id}")
                api.release(pod_id, unseen=what.since + UNSEEN - scene.world.now())
    except OSError:
        for pod_id in pods_of(what, api):
            api.release(pod_id)
        raise
    key_file(run, scene.world).unlink(missing_ok=True)


def pods_of(what: Rented, api: Api) -> list[str]:
    """Every pod that stands under one of the run's names, and the one that was journalled."""
    found = [pod.id for pod in api.pods() if pod.name in what.names]
    return list(dict.fromkeys([*([what.pod] if what.pod else []), *found]))


def billed(run: Run, log: Log) -> tuple[Rented, list[Span]]:
    """The pods that can be on a run's bill. Raises ``NotFound`` if the run rented none."""
    what, pods = rented(log.entries), spans(log.entries)
    if what is None or not pods:
        raise NotFound(f"run {run.id} has rented no pod", "its cost is zero")
    return what, pods


def receipt(run: Run, scene: Scene, api: Api, log: Log, *, patience: float) -> dict[str, Any]:
    """Read the bill of every pod of the run until it is complete or ``patience`` seconds are over.

    Writes receipt.json. ``settled`` is false while the bill lags: ``launch receipt`` reads it again.
    """
    world = scene.world
    what, pods = billed(run, log)
    since = datetime.fromtimestamp(pods[0].since - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    slept = any(e.what == "wake" for e in log.entries)  # no GPU was billed meanwhile
    reckoned = spent(log.entries, world.now())
    earlier = sum(span.cost(world.now()) for span in pods[:-1])
    give_up = world.now() + patience
    while True:
        records = [
            record for span in pods if span.pod for record in api.bill(span.pod, since=since)
        ]
        charged = sum(record.total for record in records)
        settled = charged > 0 and (slept or charged >= reckoned * SETTLED)
        if settled or world.now() >= give_up:
            break
        world.sleep(ASK)
    facts = {
        "pod": what.pod,
        "pods": [span.pod for span in pods],
        "gpu": what.facts.get("gpu"),
        "seconds": round(sum(span.seconds(world.now()) for span in pods)),
        "quoted_rate": what.rate,
        "quoted_most": round(float(what.facts.get("most", 0.0)) + earlier, 4),
        "reckoned": round(reckoned, 4),
        "charged": round(charged, 4),
        "charged_gpu": round(sum(record.gpu for record in records), 4),
        "charged_disk": round(sum(record.disk for record in records), 4),
        "settled": settled,
    }
    write(run.folder / "receipt.json", facts)
    return facts


def write(path: Path, facts: dict[str, Any]) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    new.replace(path)


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
    return [f"receipt  {paid} (quoted at most ${most:.2f}), {used}"]


def show_receipt(run: Run, scene: Scene, api: Api, log: Log, *, patience: float) -> None:
    """Show what the run cost; a bill that cannot be read now does not fail the run."""
    try:
        facts = receipt(run, scene, api, log, patience=patience)
    except Fault as fault:
        scene.view.say(
            f"no receipt yet: {fault.cause}; read it later with: launch receipt {run.id}"
        )
        return
    for text in receipt_lines(run, facts):
        scene.view.say(text)
