"""``launch train``, in order: resolve the job, check the data, show what it costs, make the run folder,
start the trainer or find the running one, follow it, download the result, verify it, delete the pod. A
step is a function; the journal records how far a run is, so that ``--resume`` and ``attach`` continue
after any step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from launcher import preflight, tracking
from launcher.context import Context
from launcher.follow import watch
from launcher.machines import MACHINES, Machine, Work
from launcher.quote import measure_run
from launcher.request import Request, resolve
from launcher.runs import resume_check, run_folder, status
from launcher.runs.new_run import Plan, check_data, make_folder, record
from launcher.runs.result import Outcome, is_done, verify
from launcher.runs.run_folder import Log, Run
from launcher.runs.run_state import RunState
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract import events, rows
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import (
    Fault,
    Locked,
    NotFound,
    ResultRejected,
    Usage,
    joined,
)


def train(request: Request, *, world: World, view: View) -> Outcome:
    """Run every step. Raises the ``Fault`` that ended the run; ``--resume`` then continues it."""
    plan = resolve(request, world=world)
    run, job = plan.run, plan.job
    context = Context(
        world, view, plan.settings, start_stopped=request.start_stopped, stop_file=run.stop_request
    )
    machine, data = ready(request, plan, context)
    offer = machine.offer(run, job, data, RunState()) if data and not request.resume else {}
    with world.interrupts(context.interrupts):
        make_folder(run, may_hold_results=request.resume is not None or request.overwrite)
        with (
            with_resume_hint(run),
            run_folder.hold(run, world=world) as log,
            status.with_pod_facts(run, log, world),
        ):
            work = machine.find(run, log)
            if work is not None:
                adopt(work, request, run, log, view=view)
            elif request.resume is None:
                assert data is not None
                record(plan, data, log, offer=offer, world=world, view=view)
            elif is_done(run):
                return finished(verify(run, log, view=view), log)
            elif request.attach:
                refuse_ended(run, log)
            elif request.changes_something:
                note_changes(plan, log)
            with journalling_the_end(log):
                work = work or start(plan, machine, log, request=request, data=data, view=view)
                work.prepare(job, resume=request.resume is not None)
            with tracking.tracked(context, run) as watched:
                return conclude(run, work, log, watched)


def preview(
    request: Request, *, world: World, view: View
) -> tuple[list[dict[str, Any]], list[Fault]]:
    """Show what a run would cost; return the requests and commands it would send, and what it still needs.

    Sends nothing, and needs no key, image, engine, network or data. Raises one fault for all mistakes.
    """
    plan = resolve(request, world=world)
    context = Context(world, view, plan.settings)
    machine, job = MACHINES[plan.where](context), request.job or plan.job
    data, faults = preflight.mistakes(plan, job)
    faults, needed = preflight.without_data(job, faults)
    if faults:
        raise joined(faults)
    needed += preflight.missing(plan, machine, context)
    requests, unread = machine.preview(plan.run, plan.job, data)
    return requests, list({fault.cause: fault for fault in (*needed, *unread)}.values())


def ready(request: Request, plan: Plan, context: Context) -> tuple[Machine, rows.Rows | None]:
    """The machine and the rows; None to attach. Raises one fault for everything that keeps the run from starting."""
    machine, data = MACHINES[plan.where](context), None
    faults: list[Fault] = []
    if not request.attach:
        # A fault in the data names the path as it was typed.
        job = request.job or plan.job
        context.view.say(f"checking {job.data}")
        data, faults = preflight.mistakes(plan, job)
    faults += preflight.missing(plan, machine, context)
    if faults:
        raise joined(faults)
    return machine, data


@contextmanager
def with_resume_hint(run: Run) -> Iterator[None]:
    """Inside, a fault without a hint, such as one of the link or the API, gets the command that continues the run."""
    try:
        yield
    except Fault as fault:
        fault.hint = fault.hint or f"continue with: {status.resume_hint(run)}"
        raise


@contextmanager
def journalling_the_end(log: Log) -> Iterator[None]:
    """Inside, a fault ends the attempt in the journal; ``Locked``, where another one is running, does not."""
    try:
        yield
    except Locked:
        raise
    except Fault as fault:
        log.note_end(fault)
        raise


def adopt(work: Work, request: Request, run: Run, log: Log, *, view: View) -> None:
    """Continue a trainer that is running. Raises ``Locked`` for a new run, ``Usage`` for changed settings."""
    if request.resume is None:
        raise Locked(
            f"a trainer is still running in {run.folder}",
            f"continue it with: {status.resume_hint(run)}",
        )
    if request.changes_something:
        raise Usage(
            f"run {run.id} is running: its settings cannot change until it ends",
            f"drop the settings, or stop the run first with: launch stop {run.id}",
        )
    view.say(f"continuing run {run.id}")
    log.fact("adopted", pid=work.pid)


def note_changes(plan: Plan, log: Log) -> None:
    """Journal the settings and the job that the run is resumed with."""
    settings, job = plan.settings.model_dump(mode="json"), plan.job.model_dump(mode="json")
    log.fact("settings", settings=settings, job=job)


def finished(outcome: Outcome, log: Log) -> Outcome:
    log.fact("ended", state="finished")
    return outcome


def refuse_ended(run: Run, log: Log) -> None:
    """Raise ``NotFound`` when the newest attempt has ended, so that there is nothing to attach to.

    A pod that is gone or released ends an attempt; a create of which nothing came does not.
    """
    ended = log.state.ended
    if ended is not None:
        why = ended.get("cause") or ended.get("reason") or "its pod is gone"
        kept = f"; the adapter it saved is in {run.adapter}" * run.adapter.is_dir()
        raise NotFound(
            f"run {run.id} is not running: {why}{kept}",
            f"resume with: {status.resume_hint(run)}",
        )


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
        resume_check.check(log.state, job)
        if offer := machine.offer(run, job, data, log.state):
            log.fact("quote", **offer)
    write_whole(run.job, job.to_json())
    view.recall(events.read(run.events)[0])
    return machine.start(run, job, log, resume=request.resume is not None)


def conclude(run: Run, work: Work, log: Log, context: Context) -> Outcome:
    """Follow the trainer, download its result, verify it, and only then delete the pod.

    The saved result of a failed run is downloaded too, before its fault is raised.
    """
    fault = watch(run, work, log, context)
    outcome: Outcome | None = None
    try:
        if work.fetch() and (fault is None or run.manifest.exists()):
            outcome = verify(run, log, view=context.view)
    except Fault:
        if fault is None:
            raise
    if outcome is None and fault is None:
        raise ResultRejected(
            f"run {run.id} reports that it is done, but its manifest is missing",
            f"see its output with: launch logs {run.id}",
        )
    if outcome is not None and not outcome.manifest.complete:
        fault = fault or status.failure(run, log.state)
        context.view.say(f"the adapter trained so far is in {run.adapter}")
    work.release()
    if fault is not None:
        log.note_end(fault, exit_code=work.exit_code())
        raise fault
    assert outcome is not None
    measure_run.remember(run, log.state, world=context.world)
    return finished(outcome, log)
