"""A new run: check its data, make its folder, record it in the journal and in the index."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.runs import resume_check, run_folder
from launcher.runs.run_folder import Log, Run
from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract import episodes, rows, validation
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import OutputExists
from trainer.contract.job import Job

RESULTS = (
    "adapter",
    "checkpoints",
    *episodes.RESULTS,
    validation.RESULT,
    validation.FOLDER,
    "events.jsonl",
    "job.json",
    "loss.png",
    "manifest.json",
    "report.html",
    "report.json",
    "tracked.json",
    "run.json",
    "train.log",
)


@dataclass(frozen=True)
class Plan:
    """The run, its job with absolute paths, its machine and its settings."""

    run: Run
    job: Job
    where: str
    settings: Settings


def check_data(job: Job, *, view: View) -> rows.Rows:
    """Read rows and episodes before anything is written or paid for. Raises ``BadData``."""
    view.say(f"checking {job.data}")
    if job.eval_data is not None:
        rows.read_rows(Path(job.eval_data))
    if job.evaluate is not None:
        episodes.check(Path(job.evaluate))
    validation.check(job)
    return rows.read_rows(Path(job.data))


def make_folder(run: Run, *, may_hold_results: bool) -> None:
    """Make the run folder. Raises ``OutputExists`` where results are in it that must not be."""
    if not may_hold_results:
        found = [name for name in (*RESULTS, run.journal.name) if (run.folder / name).exists()]
        if found or (run.folder.exists() and not run.folder.is_dir()):
            raise OutputExists(
                f"{run.folder} already holds {found[0] if found else 'a file'}",
                "continue it with --resume, replace it with --overwrite, or name another --output",
            )
    run.folder.mkdir(parents=True, exist_ok=True)


def record(
    plan: Plan, data: rows.Rows, log: Log, *, offer: dict[str, Any], world: World, view: View
) -> None:
    """Write down what the run is, in its folder and in the index; clear what is overwritten."""
    run, job = plan.run, plan.job
    for name in RESULTS:
        path = run.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_whole(run.job, job.to_json())
    log.fact(
        "created",
        id=run.id,
        where=plan.where,
        model=job.model,
        data=job.data,
        data_sha256=data.sha256,
        model_sha256=resume_check.model_sha256(job),
        rows=len(data.rows),
        job_hash=job.hash(),
        job=job.model_dump(mode="json"),
        settings=plan.settings.model_dump(mode="json"),
    )
    if offer:
        log.fact("quote", **offer)
    try:
        run_folder.add_to_index(run, world=world)
    except OSError as error:
        view.say(f"launch ps will not list this run: {error}")
    view.say(f"run {run.id} in {run.folder} ({len(data.rows)} row{'s' * (len(data.rows) != 1)})")
