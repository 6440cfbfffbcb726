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
from trainer.contract.command.errors import Fault, NotFound, OutputExists, joined, noted
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
PATHS = (".", "/", "~")  # how a model's name begins if it is a folder


@dataclass(frozen=True)
class Plan:
    """The run, its job with absolute paths, its machine and its settings."""

    run: Run
    job: Job
    where: str
    settings: Settings


def check_data(job: Job, *, view: View) -> rows.Rows:
    """Read rows and episodes before anything is written or paid for. Raises a fault that lists all faults."""
    view.say(f"checking {job.data}")
    data, faults = read_inputs(job)
    if data is None or faults:
        raise joined(faults)
    return data


def read_inputs(job: Job) -> tuple[rows.Rows | None, list[Fault]]:
    """The rows, and every fault of the files that the job names; the rows are None if they have one."""
    faults: list[Fault] = []
    data = None
    if names_no_data(job):
        what = f"no data: --data is not given, and {job.data} does not exist"
        faults.append(NotFound(what, "name your rows with: --data FILE"))
    else:
        with noted(faults):
            data = rows.read_rows(Path(job.data))
    if job.model.startswith(PATHS) and not Path(job.model).is_dir():
        faults.append(NotFound(f"the model folder {job.model} does not exist", "correct --model"))
    if job.eval_data is not None:
        with noted(faults):
            rows.read_rows(Path(job.eval_data))
    if job.evaluate is not None:
        with noted(faults):
            episodes.check(Path(job.evaluate))
    with noted(faults):
        validation.check(job)
    return data, faults


def names_no_data(job: Job) -> bool:
    """Whether no rows are named, and the file of the default does not exist."""
    return "data" not in job.model_fields_set and not Path(job.data).exists()


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
