"""The result of a run: complete, and verified against its manifest."""

import json
from dataclasses import dataclass
from typing import Any

from launcher.runs.run_folder import Log, Run
from launcher.view.protocol import View
from trainer.contract import episodes, events, manifest
from trainer.contract.command.errors import Fault


@dataclass(frozen=True)
class Outcome:
    """A finished run, verified against its manifest."""

    run: Run
    manifest: manifest.Manifest
    steps: list[events.Step]  # of all attempts, each step once

    @property
    def comparison(self) -> dict[str, Any] | None:
        """What the evaluation wrote, if there was one."""
        try:
            found = json.loads((self.run.folder / episodes.COMPARISON).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def is_done(run: Run) -> bool:
    """Say whether there is a result that only needs verifying."""
    return run.manifest.exists() and manifest.load(run.manifest).complete


def verify(run: Run, log: Log, *, view: View) -> Outcome:
    """Check every file against the manifest. Raises ``ResultRejected``."""
    view.say("verifying the adapter against its manifest")
    try:
        with log.effect("verify"):
            proof = manifest.verify(run.folder)
    except Fault as fault:
        log.note_end(fault)
        raise
    seen = [
        event
        for path in [*sorted(run.folder.glob("attempt-*/events.jsonl")), run.events]
        for event in events.read(path)[0]
    ]
    steps = {event.step: event for event in seen if isinstance(event, events.Step)}
    return Outcome(run, proof, [steps[step] for step in sorted(steps)])
