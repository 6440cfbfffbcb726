"""``launch train``, in order: resolve the job, check the data, show what it costs, make the run folder,
start the trainer or find the running one, follow it, download the result, verify it, delete the pod. A
step is a function; the journal records how far a run is, so that ``--resume`` and ``attach`` continue
after any step.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from launcher import tracking
from launcher.errors import BrokenJournal
from launcher.follow import note_end, watch
from launcher.machines import MACHINES, Machine, Work
from launcher.runs import resume_check, run_folder, status
from launcher.runs.journal import of_this_run, read
from launcher.runs.run_folder import Log, Run
from launcher.scene import Scene
from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract import episodes, events, manifest, resuming, rows, validation
from trainer.contract.command.errors import (
    Fault,
    Locked,
    NotFound,
    OutputExists,
    ResultRejected,
    Usage,
)
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
class Request:
    """A request for a new run of ``job``, or to ``resume`` one (its id or folder).

    A new run lies in the job's output folder where one was set, else in ``runs/<id>``. ``attach``
    continues a run, but does not restart one that has ended; ``wake`` starts a pod that
    has stopped, to fetch from it. A run that is resumed keeps its settings but for the ``changes``,
    which are valid ones, and its job but for ``job_sets`` (each ``name=value``) and ``job_changes``.
    """

    job: Job | None = None
    resume: str | None = None
    run_id: str | None = None
    where: str = "here"
    overwrite: bool = False
    attach: bool = False
    wake: bool = False
    settings: Settings = field(default_factory=Settings)
    changes: Mapping[str, Any] = field(default_factory=dict)
    job_sets: Sequence[str] = ()
    job_changes: Mapping[str, Any] = field(default_factory=dict)


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


def train(request: Request, *, world: World, view: View) -> Outcome:
    """Run every step. Raises the ``Fault`` that ended the run; ``--resume`` then continues it."""
    plan = resolve(request, world=world)
    run, job = plan.run, plan.job
    scene = Scene(world, view, plan.settings, wake=request.wake, wish=run.wish_to_stop)
    machine = MACHINES[plan.where](scene)
    machine.check(job)
    tracking.check(plan.settings.track, variable=world.variable)
    if not request.attach:
        data = check_data(request.job or job, view=view)  # a fault names the path as it was typed
        offer = {} if request.resume else machine.offer(run, job, data, ())
    else:
        data, offer = None, {}
    with world.interrupts(scene.interrupts):
        make_folder(run, request)
        with going_on(run), run_folder.hold(run, world=world) as log:
            work = machine.find(run, log)
            if request.resume is None:
                if work is not None:
                    raise Locked(
                        f"a trainer is still running in {run.folder}",
                        f"continue it with: {status.resume_hint(run)}",
                    )
                assert data is not None
                record(plan, data, log, offer=offer, world=world, view=view)
            elif request.changes or request.job_sets or request.job_changes:
                if work is not None:
                    raise Usage(
                        f"run {run.id} is running: its settings cannot change until it ends",
                        f"drop the settings, or stop the run first with: launch stop {run.id}",
                    )
                log.fact(
                    "settings",
                    settings=plan.settings.model_dump(mode="json"),
                    job=job.model_dump(mode="json"),
                )
            if work is not None:
                view.say(f"continuing run {run.id}")
                log.fact("adopted", pid=work.pid)
            elif is_done(run):
                outcome = verify(run, log, view=view)
                log.fact("ended", state="finished")
                return outcome
            elif request.attach:
                refuse_ended(run, log)
            try:
                if work is None:
                    work = start(plan, machine, log, request=request, data=data, view=view)
                work.prepare(job, resume=request.resume is not None)
            except Locked:
                raise
            except Fault as fault:
                note_end(log, fault)
                raise
            with tracking.tracked(scene, run) as watched:
                return conclude(run, work, log, watched)


@contextmanager
def going_on(run: Run) -> Iterator[None]:
    """Inside, a fault without a hint, such as one of the link or the API, gets the command that continues the run."""
    try:
        yield
    except Fault as fault:
        fault.hint = fault.hint or f"continue with: {status.resume_hint(run)}"
        raise


def preview(request: Request, *, world: World, view: View) -> list[dict[str, Any]]:
    """Run the checks and return the requests and commands that a run would send; sends nothing."""
    plan = resolve(request, world=world)
    machine = MACHINES[plan.where](Scene(world, view, plan.settings))
    machine.check(plan.job)
    tracking.check(plan.settings.track, variable=world.variable)
    data = check_data(request.job or plan.job, view=view)
    machine.offer(plan.run, plan.job, data, ())
    return machine.preview(plan.run, plan.job)


@dataclass(frozen=True)
class Plan:
    """The run, its job with absolute paths, its machine and its settings."""

    run: Run
    job: Job
    where: str
    settings: Settings


def resolve(request: Request, *, world: World) -> Plan:
    """Name the run and make the job's paths absolute: it may be resumed from any folder."""
    if request.resume is not None:
        run = run_folder.find(request.resume, world=world)
        kept = run_folder.summary(run, read(run.journal))
        # A result that was fetched has brought its own job.json: the paths in it are the pod's.
        job = Job.resolve(kept["job"], source=str(run.journal)) if "job" in kept else None
        job = job or Job.from_json(run.job)
        try:
            settings = Settings.model_validate({**kept.get("settings", {}), **request.changes})
        except ValidationError as error:
            name = ".".join(map(str, error.errors()[0]["loc"]))
            raise BrokenJournal(
                f"{run.journal}: unknown or invalid setting {name!r}",
                "correct it, or restore the file",
            ) from None
        where = str(kept.get("where", "here"))
        if where not in MACHINES:
            raise BrokenJournal(
                f"{run.journal}: 'where' is {where!r}, not one of {', '.join(MACHINES)}",
                "correct it, or restore the file",
            )
        job = resuming.changed(job, request.job_sets, request.job_changes)
        job = job.model_copy(update={"output": str(run.folder)})
        return Plan(run, job, where, settings)
    job = request.job or Job()
    run_id = run_folder.check_id(request.run_id) if request.run_id else run_folder.new_id(world)
    chosen = Path(job.output) if "output" in job.model_fields_set else Path("runs") / run_id
    run = Run(run_id, chosen.absolute())
    local = Path(job.model).is_dir()
    job = job.model_copy(
        update={
            "output": str(run.folder),
            "data": str(Path(job.data).absolute()),
            "eval_data": job.eval_data and str(Path(job.eval_data).absolute()),
            "evaluate": job.evaluate and str(Path(job.evaluate).absolute()),
            "validation": job.validation and str(Path(job.validation).absolute()),
            "model": str(Path(job.model).absolute()) if local else job.model,
        }
    )
    return Plan(run, job, request.where, request.settings)


def begun_again(request: Request, *, world: World) -> Request:
    """The run that ``request`` would resume as a new one: the same id, folder and machine."""
    plan = resolve(request, world=world)
    run = plan.run
    return Request(
        plan.job, run_id=run.id, where=plan.where, overwrite=True, settings=plan.settings
    )


def check_data(job: Job, *, view: View) -> rows.Rows:
    """Read rows and episodes before anything is written or paid for. Raises ``BadData``."""
    view.say(f"checking {job.data}")
    if job.eval_data is not None:
        rows.read_rows(Path(job.eval_data))
    if job.evaluate is not None:
        episodes.check(Path(job.evaluate))
    validation.check(job)
    return rows.read_rows(Path(job.data))


def make_folder(run: Run, request: Request) -> None:
    """Make the run folder. Raises ``OutputExists`` rather than touch what lies there."""
    if request.resume is None and not request.overwrite:
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
    run.job.write_text(job.to_json(), encoding="utf-8")
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


def refuse_ended(run: Run, log: Log) -> None:
    """Raise ``NotFound`` when the newest attempt has ended, so that there is nothing to attach to.

    A pod that is gone or released ends an attempt; a create of which nothing came does not.
    """
    telling = {"ended", "start", "rent", "release", "gone"}
    last = next((e for e in reversed(log.entries) if e.what in telling), None)
    if last is not None and (last.what in {"ended", "release"} or "pod" in last.facts):
        why = last.facts.get("cause") or last.facts.get("reason") or "its pod is gone"
        kept = f"; the adapter it saved is in {run.adapter}" * run.adapter.is_dir()
        raise NotFound(
            f"run {run.id} is not running: {why}{kept}",
            f"resume with: {status.resume_hint(run)}",
        )


def is_done(run: Run) -> bool:
    """Say whether there is a result that only needs verifying."""
    return run.manifest.exists() and manifest.load(run.manifest).complete


def start(
    plan: Plan,
    machine: Machine,
    log: Log,
    *,
    request: Request,
    data: rows.Rows | None,
    view: View,
) -> Work:
    """Start the trainer; its events from now on begin at the journalled offset."""
    run, job = plan.run, plan.job
    if request.resume is not None:
        data = data or check_data(job, view=view)
        resume_check.check(log.entries, job)
        if offer := machine.offer(run, job, data, of_this_run(log.entries)):
            log.fact("quote", **offer)
    run.job.write_text(job.to_json(), encoding="utf-8")
    view.recall(events.read(run.events)[0])
    return machine.start(run, job, log, resume=request.resume is not None)


def conclude(run: Run, work: Work, log: Log, scene: Scene) -> Outcome:
    """Follow the trainer, download its result, verify it, and only then delete the pod.

    The saved result of a failed run is downloaded too, before its fault is raised.
    """
    fault = watch(run, work, log, scene)
    outcome: Outcome | None = None
    try:
        if work.fetch() and (fault is None or run.manifest.exists()):
            outcome = verify(run, log, view=scene.view)
    except Fault:
        if fault is None:
            raise
    if outcome is None and fault is None:
        raise ResultRejected(
            f"run {run.id} reports that it is done, but its manifest is missing",
            f"see its output with: launch logs {run.id}",
        )
    if outcome is not None and not outcome.manifest.complete:
        fault = fault or status.failure(run, log.entries)
        scene.view.say(f"the adapter trained so far is in {run.adapter}")
    work.release()
    if fault is not None:
        note_end(log, fault, exit_code=work.exit_code())
        raise fault
    assert outcome is not None
    log.fact("ended", state="finished")
    return outcome


def verify(run: Run, log: Log, *, view: View) -> Outcome:
    """Check every file against the manifest. Raises ``ResultRejected``."""
    view.say("verifying the adapter against its manifest")
    try:
        with log.effect("verify"):
            proof = manifest.verify(run.folder)
    except Fault as fault:
        note_end(log, fault)
        raise
    seen = [
        event
        for path in [*sorted(run.folder.glob("attempt-*/events.jsonl")), run.events]
        for event in events.read(path)[0]
    ]
    steps = {event.step: event for event in seen if isinstance(event, events.Step)}
    return Outcome(run, proof, [steps[step] for step in sorted(steps)])
