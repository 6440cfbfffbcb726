"""The facts of a report, read from the files of a run folder."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from launcher.report.expected import Expected, expectations
from launcher.report.held_out import Answered, answered, unpaired
from launcher.report.transcripts import Pair, read_pairs
from launcher.runs import run_state
from launcher.runs.run_folder import Run
from trainer.contract import event_text, events, validation
from trainer.contract.command.errors import Fault, NotFound
from trainer.contract.event_text import clock
from trainer.contract.manifest import Manifest, load
from trainer.contract.sizing.evaluations import ROWS

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
        """The failure, if the run has no complete result."""
        if self.manifest is not None and self.manifest.complete:
            return None
        return next((e for e in reversed(self.seen) if isinstance(e, events.Failed)), None)

    def outcome(self) -> list[str]:
        """The first lines of the report: better or not, by how much, what it cost."""
        lines = []
        if self.failure is not None:
            lines.append(f"The run failed: {self.failure.cause}")
        elif self.manifest is None:
            lines.append("The run has no result yet.")
        elif not self.manifest.complete:
            lines.append("The adapter is from an unfinished run.")
        if self.comparison:
            lines.append(str(self.comparison.get("verdict") or _change(self.comparison)))
        if self.held_out is not None:
            lines.append(_sentence(event_text.held_out(self.held_out)))
        elif self.manifest is not None and not self.comparison:
            lines.append(self._not_compared())
        if self.divergence is not None:
            lines.append(_sentence(event_text.divergence(self.divergence)))
        lines.append(self._cost())
        return lines

    def _not_compared(self) -> str:
        why = (
            ""
            if self.evals
            else (
                f" No rows were held out: this takes {ROWS} different rows and eval_share above 0, or eval_data."
            )
        )
        return f"The adapter was not compared with its base.{why}"

    def _cost(self) -> str:
        if self.receipt:
            most = f" (quoted at most ${self.quote['most']:.2f})" if "most" in self.quote else ""
            settled = "" if self.receipt.get("settled", True) else " so far"
            return f"The run cost ${self.receipt.get('charged', 0.0):.4f}{settled}{most}."
        if "most" in self.quote:
            return f"Quoted at most ${self.quote['most']:.2f}; no receipt yet."
        return "The run rented nothing."

    def overview(self) -> list[tuple[str, str]]:
        """(what, how much) of the training."""
        found: list[tuple[str, str]] = []
        if self.manifest is not None:
            found.append(("base model", self.manifest.base_model))
        if self.plan is not None:
            plan = self.plan
            dropped = f", {plan.dropped_rows:,} left out" if plan.dropped_rows else ""
            found += [
                ("device", f"{plan.device}, {plan.precision}"),
                ("rows", f"{plan.rows:,}{dropped}"),
                ("tokens", f"{plan.trained_tokens:,} trained of {plan.tokens:,} per epoch"),
                ("trained parameters", f"{plan.trainable_parameters:,}"),
            ]
        if steps := self.steps:
            found += [
                ("steps", f"{steps[-1].step:,} of {steps[-1].steps:,}"),
                ("loss", f"{steps[0].loss:.4f} → {steps[-1].loss:.4f}"),
                ("memory", self._memory(max(step.memory_bytes for step in steps))),
                ("time", clock(self.seconds())),
            ]
            told = {"GPU utilisation": self.gpu_use, "share of the GPU's peak rate (MFU)": self.mfu}
            for what, share in told.items():
                if known := [x for x in share if x is not None]:
                    found.append((what, f"{fmean(known):.0f}% on average"))
        return found

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

    def _memory(self, most: int) -> str:
        expected = self.plan.predicted_bytes if self.plan is not None else None
        told = f"{most / 1e9:.1f} GB at most"
        return f"{told}, {expected / 1e9:.1f} GB expected" if expected else told

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

    def details(self) -> list[tuple[str, str]]:
        """Hashes and versions, enough to make the run again."""
        if self.manifest is None:
            return []
        whole = self.manifest
        found = [
            ("finished", f"{datetime.fromisoformat(whole.created):%Y-%m-%d %H:%M %Z}"),
            ("job", whole.job_hash),
            ("data", whole.data_sha256),
            ("base model", f"{whole.base_model} {whole.revision or ''}".strip()),
            ("chat template", whole.template_sha256),
            ("seed", str(whole.seed)),
            ("device", whole.device),
        ]
        versions = ", ".join(f"{name} {version}" for name, version in whole.versions.items())
        proof = whole.reload_proof
        if proof is not None:
            found.append(("reload proof", f"logits differ by {proof.max_abs_diff:.1e}"))
        return [*found, ("versions", versions)]

    def money(self) -> list[tuple[str, str]]:
        """Quote beside receipt."""
        return [
            *((f"quote: {name}", _plain(value)) for name, value in self.quote.items()),
            *((f"receipt: {name}", _plain(value)) for name, value in self.receipt.items()),
        ]


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


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _change(comparison: dict[str, Any]) -> str:
    return f"base {comparison['base']:.3f}, adapter {comparison['adapter']:.3f}"


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else json.dumps(value)
