"""``launch receipt`` and ``launch reap``: requests to RunPod outside a run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from launcher.context import Context
from launcher.rental.delete import must_have_rented, receipt, receipt_lines
from launcher.rental.reap import reap as reap_pods
from launcher.rental.rental_context import Rental
from launcher.runs import run_folder
from launcher.secrets import runpod
from launcher.view.columns import beside
from launcher.view.protocol import View
from launcher.world import World

PATIENCE = 5.0  # seconds


def ask_receipt(name: str, *, world: World, view: View) -> tuple[dict[str, Any], list[str]]:
    """The bill of a run's newest pod as facts and as lines. Raises ``NotFound`` without a pod."""
    run = run_folder.find(name, world=world)
    with run_folder.hold(run, world=world) as log:
        must_have_rented(run, log.state)  # before a key is needed
        with world.api(runpod(world).value) as api:
            facts = receipt(Rental(run, Context(world, view), api, log), patience=PATIENCE)
    return {"id": run.id, **facts}, receipt_lines(run, facts)


def reap(
    named: Sequence[str], *, world: World, view: View
) -> tuple[list[dict[str, Any]], list[str]]:
    """Delete or stop abandoned pods; return the pods that remain, as facts and as lines."""
    with world.api(runpod(world).value) as api:
        judged = reap_pods(named, api=api, world=world, view=view)
    lines = ["no rented pods remain"] if not judged else []
    for item in judged:
        until = f"{datetime.fromtimestamp(item.gone_by).astimezone():%d %b %H:%M %Z}"
        row = f"{item.pod}  {item.status:8}  ${item.rate:.2f}/h  until {until}"
        lines += beside(row, item.name)
        lines.append(f"    {item.action}: {item.why}")
    return [item.facts() for item in judged], lines
