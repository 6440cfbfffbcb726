"""A request to train, and what follows from it: the run, its job, its machine, its settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from launcher.errors import BrokenJournal
from launcher.machines import MACHINES
from launcher.runs import run_folder, run_state
from launcher.runs.new_run import Plan
from launcher.runs.run_folder import Run
from launcher.settings import Settings
from launcher.world import World
from trainer.contract import resuming
from trainer.contract.job import Job


@dataclass(frozen=True)
class Request:
    """A request for a new run of ``job``, or to ``resume`` one (its id or folder).

    A new run lies in the job's output folder where one was set, else in ``runs/<id>``. ``attach``
    continues a run, but does not restart one that has ended; ``start_stopped`` starts a pod that
    has stopped, to fetch from it. A run that is resumed keeps its settings but for the ``changes``,
    which are valid ones, and its job but for ``job_sets`` (each ``name=value``) and ``job_changes``.
    """

    job: Job | None = None
    resume: str | None = None
    run_id: str | None = None
    where: str = "here"
    overwrite: bool = False
    attach: bool = False
    start_stopped: bool = False
    settings: Settings = field(default_factory=Settings)
    changes: Mapping[str, Any] = field(default_factory=dict)
    job_sets: Sequence[str] = ()
    job_changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changes_something(self) -> bool:
        """Whether a resumed run gets other settings or another job."""
        return bool(self.changes or self.job_sets or self.job_changes)


def resolve(request: Request, *, world: World) -> Plan:
    """Name the run and make the job's paths absolute: it may be resumed from any folder."""
    return (
        _new(request, world) if request.resume is None else _resumed(request.resume, request, world)
    )


def _resumed(name: str, request: Request, world: World) -> Plan:
    run = run_folder.find(name, world=world)
    kept = run_state.read(run.journal).summary
    # A result that was fetched has brought its own job.json: the paths in it are the pod's.
    job = (
        Job.resolve(kept["job"], source=str(run.journal))
        if "job" in kept
        else Job.from_json(run.job)
    )
    try:
        settings = Settings.model_validate({**kept.get("settings", {}), **request.changes})
    except ValidationError as error:
        wrong = f"unknown or invalid setting {'.'.join(map(str, error.errors()[0]['loc']))!r}"
        raise BrokenJournal(f"{run.journal}: {wrong}", "correct it, or restore the file") from None
    where = str(kept.get("where", "here"))
    if where not in MACHINES:
        raise BrokenJournal(
            f"{run.journal}: 'where' is {where!r}, not one of {', '.join(MACHINES)}",
            "correct it, or restore the file",
        )
    job = resuming.changed(job, request.job_sets, request.job_changes)
    return Plan(run, job.model_copy(update={"output": str(run.folder)}), where, settings)


def _new(request: Request, world: World) -> Plan:
    job = request.job or Job()
    run_id = run_folder.check_id(request.run_id) if request.run_id else run_folder.new_id(world)
    chosen = Path(job.output) if "output" in job.model_fields_set else Path("runs") / run_id
    run = Run(run_id, chosen.absolute())
    paths = ["data", "eval_data", "evaluate", "validation", *["model"] * Path(job.model).is_dir()]
    typed = {name: getattr(job, name) for name in paths}
    absolute = {name: path and str(Path(path).absolute()) for name, path in typed.items()}
    job = job.model_copy(update={**absolute, "output": str(run.folder)})
    return Plan(run, job, request.where, request.settings)


def started_again(request: Request, *, world: World) -> Request:
    """The run that ``request`` would resume as a new one: the same id, folder and machine."""
    plan = resolve(request, world=world)
    run = plan.run
    return Request(
        plan.job, run_id=run.id, where=plan.where, overwrite=True, settings=plan.settings
    )
