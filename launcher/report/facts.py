"""The facts of a report, read from the files of a run folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.report.expected import Expected, expectations
from launcher.report.held_out import Answered, answered, unpaired
from launcher.report.transcripts import Pair, read_pairs
from launcher.runs import run_state
from launcher.runs.run_folder import Run
from trainer.contract import events, validation
from trainer.contract.command.errors import Fault, NotFound
from trainer.contract.manifest import Manifest, load

GROUPS = {
    "difficulties": "By difficulty",
    "families": "By question family",
    "tables": "By table",
    "sources": "By source",
    "answer_types": "By answer type",
}
DIFFICULTIES = ("easy", "medium", "hard", "very hard")
PROBES = {
    "floor": "tables emptied: shows guessed answers",
    "renamed": "columns renamed, rows redrawn: shows memorised answers",
}


@dataclass
class Facts:
    """`seen` are the events of all attempts in order; missing facts are None or empty."""

    run: Run
    seen: list[events.Event]
    quote: dict[str, Any]
    summary: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None
    comparison: dict[str, Any] = field(default_factory=dict)
    choice: validation.Choice | None = None
    receipt: dict[str, Any] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    @property
    def steps(self) -> list[events.Step]:
        """Each step once, as it was taken last."""
        found = {event.step: event for event in self.seen if isinstance(event, events.Step)}
        return [found[step] for step in sorted(found)]

    @property
    def evals(self) -> list[events.Eval]:
        found = {event.step: event for event in self.seen if isinstance(event, events.Eval)}
        return [found[step] for step in sorted(found)]

    @property
    def plan(self) -> events.Plan | None:
        return next((e for e in reversed(self.seen) if isinstance(e, events.Plan)), None)

    @property
    def kernels(self) -> events.Kernels | None:
        """The choice of the last attempt; None on a CPU."""
        return next((e for e in reversed(self.seen) if isinstance(e, events.Kernels)), None)

    @property
    def data(self) -> events.Data | None:
        return next((e for e in reversed(self.seen) if isinstance(e, events.Data)), None)

    @property
    def held_out(self) -> events.HeldOut | None:
        """Base against adapter on the held-out rows; None if unknown, as in a run of an older version."""
        return next((e for e in reversed(self.seen) if isinstance(e, events.HeldOut)), None)

    @property
    def divergence(self) -> events.Divergence | None:
        return next((e for e in reversed(self.seen) if isinstance(e, events.Divergence)), None)

    @property
    def warnings(self) -> list[str]:
        return [*dict.fromkeys(e.message for e in self.seen if isinstance(e, events.Warning))]

    @property
    def failure(self) -> events.Failed | None:
        """The failure, if the run has no complete result; the journal knows more of it than the trainer."""
        if self.manifest is not None and self.manifest.complete:
            return None
        found = next((e for e in reversed(self.seen) if isinstance(e, events.Failed)), None)
        if self.summary.get("state") != "failed" or "cause" not in self.summary:
            return found
        told = {k: v for k, v in self.summary.items() if k in ("cause", "hint", "exit_code")}
        return (found or events.Failed(cause="", exit_code=1)).model_copy(update=told)

    @property
    def gpu_use(self) -> list[float | None]:
        """Percent of the time in which the card worked, by step."""
        return [step.gpu_use for step in self.steps]

    @property
    def mfu(self) -> list[float | None]:
        """Rate by the most that the cards can do, in percent, by step."""
        return [None if step.mfu is None else round(100 * step.mfu, 2) for step in self.steps]

    def expected(self) -> list[Expected]:
        probe = next((e for e in reversed(self.seen) if isinstance(e, events.TrialStep)), None)
        hours = self.quote.get("likely_hours")
        likely = 3600 * hours if isinstance(hours, int | float) else None
        return expectations(probe, self.steps, likely=likely, took=self.seconds())

    @property
    def samples(self) -> list[events.Sample]:
        return [event for event in self.seen if isinstance(event, events.Sample)]

    @property
    def answered(self) -> list[Answered]:
        """The held-out rows that base and adapter answered."""
        return answered(self.samples, self.held_out)

    @property
    def during(self) -> list[events.Sample]:
        """The other samples."""
        return unpaired(self.samples)

    def group(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Rows of a comparison's group; difficulties from the easiest on, others as they are there."""
        found = list(self.comparison.get(key, {}).items())
        known = {name: at for at, name in enumerate(DIFFICULTIES)}
        return (
            sorted(found, key=lambda row: known.get(row[0], 0)) if key == "difficulties" else found
        )

    def probes(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(change of the questions, model, score) for each probe that was evaluated."""
        return [
            (title, label, row)
            for name, title in PROBES.items()
            for label, row in self.comparison.get(name, {}).items()
            if isinstance(row, dict) and row.get("n")
        ]

    def seconds(self) -> float:
        """From the first event to the last, pauses between attempts included."""
        times = [event.time for event in self.seen if event.time]
        return max(times) - min(times) if times else 0.0


def collect(run: Run) -> Facts:
    """Read the run folder. Raises ``NotFound`` when there is no run in it."""
    paths = [*sorted(run.folder.glob("attempt-*/events.jsonl")), run.events]
    seen = [event for path in paths for event in events.read(path)[0]]
    state = run_state.read(run.journal)
    if not seen and not state.time:
        raise NotFound(f"{run.folder}: no run in it", "launch ps lists the runs")
    try:
        whole = load(run.manifest) if run.manifest.exists() else None
    except Fault:
        whole = None
    return Facts(
        run=run,
        seen=seen,
        quote=state.quote,
        summary=state.summary,
        manifest=whole,
        comparison=_object(run.folder / "comparison.json"),
        choice=validation.read(run.folder / validation.RESULT),
        receipt=_object(run.folder / "receipt.json"),
        pairs=read_pairs(run.folder / "evaluation"),
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
