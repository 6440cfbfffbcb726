"""What a run was trained on, as far as a chat repeats it: the model's name and the rows' system prompt."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datagen.episode import PromptStyle
from datagen.prompts.render import SYSTEM
from trainer.contract.command.errors import Fault
from trainer.contract.job import Job
from trainer.contract.rows import read_rows

SHOWN = 48


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """`model` as the job names it; `system` is that of all rows, None where they differ; `remark` is shown to the user."""

    model: str | None = None
    system: str | None = None
    remark: str = "system prompt: none (there is no job.json beside the adapter)"

    @property
    def style(self) -> PromptStyle:
        """The style of prompts about tables."""
        return "brief" if self.system == SYSTEM else "full"


def trained_on(adapter: Path) -> TrainedOn:
    """Read the job beside an adapter's folder, and the rows that it names."""
    job = None
    for folder in (adapter.parent, adapter.parent.parent):
        with suppress(Fault, OSError):
            job = job or Job.from_json(folder / "job.json")
    if job is None:
        return TrainedOn()
    try:
        rows = read_rows(Path(job.data)).rows
    except Fault:
        remark = f"system prompt: none (the training rows, {job.data}, cannot be read)"
        return TrainedOn(model=job.model, remark=remark)
    first = [row.messages[0] for row in rows]
    found = {str(m["content"]) if m["role"] == "system" else None for m in first}
    if len(found) > 1:
        remark = (
            f"system prompt: none ({len(found)} different ones in the {len(rows):,} training rows)"
        )
        return TrainedOn(model=job.model, remark=remark)
    (system,) = found
    if system is None:
        remark = "system prompt: none, as in the training rows"
    else:
        flat = " ".join(system.split())
        shown = flat if len(flat) <= SHOWN else f"{flat[:SHOWN]}…"
        remark = f'system prompt: "{shown}", as in all {len(rows):,} training rows'
    return TrainedOn(model=job.model, system=system, remark=remark)
