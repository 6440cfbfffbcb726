"""``launch train``, in order: resolve the job, check the data, make the run folder, start the trainer
or pick up the one at work, follow it, verify what it made. A step is a function; the journal knows
how far a run is, so that ``--resume`` carries on after any of them.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launcher import runs, status
from launcher.machines import MACHINES, Machine, Work
from launcher.runs import Log, Run
from launcher.view import View
from launcher.world import Interrupts, World
from trainer.contract import events, manifest, rows
from trainer.contract.errors import Fault, Interrupted, Locked, OutputExists
from trainer.contract.job import Job

POLL = 0.2  # seconds between two looks at the events
RESULTS = (
    "adapter",
    "checkpoints",
    "comparison.json",
    "events.jsonl",
    "job.json",
    "loss.png",
    "manifest.json",
    "run.json",
    "train.log",
)


@dataclass(frozen=True)
class Request:
    """What is asked for: a new run of ``job``, or to ``resume`` one (its id or folder).

    A new run lies in the job's output folder where one was set, else in ``runs/<id>``.
    """

    job: Job | None = None
    resume: str | None = None
    run_id: str | None = None
    where: str = "here"
    overwrite: bool = False


@dataclass(frozen=True)
class Outcome:
    """A finished run, verified against its manifest."""

    run: Run
    manifest: manifest.Manifest
    steps: list[events.Step]  # of all attempts, each step once


def train(request: Request, *, world: World, view: View) -> Outcome:
    """Run the whole story. Raises the ``Fault`` that ended it; ``--resume`` then carries on."""
    machine = MACHINES[request.where](world)
    machine.check()
    run, job = resolve(request, world=world)
    data = check_data(request.job or job, view=view)  # a fault names the path as it was typed
    with world.interrupts() as interrupts:
        make_folder(run, request)
        with runs.hold(run, world=world) as log:
            work = machine.find(run, pid=last_pid(log))
            if request.resume is None:
                if work is not None:
                    raise Locked(
                        f"a trainer is still at work in {run.folder}",
                        f"pick it up with: {status.resume_hint(run)}",
                    )
                record(run, job, data, log, where=request.where, world=world, view=view)
            if work is not None:
                view.say(f"picking up the trainer that is at work (process {work.pid})")
                log.fact("adopted", pid=work.pid)
            elif not is_done(run):
                work = start(run, job, machine, log, request=request, view=view)
            if work is not None:
                watch(run, work, log, interrupts=interrupts, world=world, view=view)
            return verify(run, log, view=view)


def resolve(request: Request, *, world: World) -> tuple[Run, Job]:
    """Name the run and make the job's paths absolute: it may be resumed from any folder."""
    if request.resume is not None:
        run = runs.find(request.resume, world=world)
        job = Job.from_json(run.job)
        return run, job.model_copy(update={"output": str(run.folder)})
    job = request.job or Job()
    run_id = runs.check_id(request.run_id) if request.run_id else runs.new_id(world)
    chosen = Path(job.output) if "output" in job.model_fields_set else Path("runs") / run_id
    run = Run(run_id, chosen.absolute())
    local = Path(job.model).is_dir()
    return run, job.model_copy(
        update={
            "output": str(run.folder),
            "data": str(Path(job.data).absolute()),
            "eval_data": job.eval_data and str(Path(job.eval_data).absolute()),
            "model": str(Path(job.model).absolute()) if local else job.model,
        }
    )


def check_data(job: Job, *, view: View) -> rows.Rows:
    """Read the rows before anything is written or paid for. Raises ``BadData``."""
    view.say(f"checking {job.data}")
    if job.eval_data is not None:
        rows.read_rows(Path(job.eval_data))
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
    run: Run,
    job: Job,
    data: rows.Rows,
    log: Log,
    *,
    where: str,
    world: World,
    view: View,
) -> None:
    """Write down what the run is, in its folder and in the index; clear what is overwritten."""
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
        where=where,
        model=job.model,
        data=job.data,
        data_sha256=data.sha256,
        rows=len(data.rows),
        job_hash=job.hash(),
    )
    try:
        runs.add_to_index(run, world=world)
    except OSError as error:
        view.say(f"launch ps will not list this run: {error}")
    view.say(f"run {run.id} in {run.folder} ({len(data.rows)} rows)")


def last_pid(log: Log) -> int | None:
    """The process id of the trainer started last, where the journal has it."""
    starts = [entry for entry in log.entries if entry.what == "start"]
    return starts[-1].facts.get("pid") if starts else None


def is_done(run: Run) -> bool:
    """Say whether there is a result that only needs verifying."""
    return run.manifest.exists() and manifest.load(run.manifest).complete


def start(run: Run, job: Job, machine: Machine, log: Log, *, request: Request, view: View) -> Work:
    """Start the trainer; what it says from now on begins at the journalled offset."""
    run.job.write_text(job.to_json(), encoding="utf-8")
    before, offset = events.read(run.events)
    view.recall(before)
    resume = request.resume is not None
    with log.effect("start", offset=offset, resume=resume) as outcome:
        work = machine.start(run, resume=resume)
        outcome["pid"] = work.pid
    return work


def watch(
    run: Run, work: Work, log: Log, *, interrupts: Interrupts, world: World, view: View
) -> None:
    """Show what the trainer says until it has ended; raise the fault when it has no result.

    Ctrl-C asks it to save and end, a second one ends it. Should this process fail meanwhile, the
    trainer goes on, and the user is told so.
    """
    seen: list[events.Event] = []
    handled = 0

    def attend() -> None:
        nonlocal handled
        view.tick()
        while handled < interrupts.count:
            handled += 1
            stop(work, log, again=handled > 1, view=view)

    def wait() -> None:
        attend()
        world.sleep(POLL)

    offset = status.attempt_offset(log.entries)
    try:
        for event in events.follow(run.events, offset=offset, alive=work.alive, wait=wait):
            seen.append(event)
            view.event(event)
            attend()
    except BaseException:
        with suppress(OSError):
            view.say(f"the trainer keeps running; pick it up with: {status.resume_hint(run)}")
        raise
    code = work.exit_code()
    fault = status.fault_of(run, seen, exit_code=code, stopped=handled > 0)
    if fault is not None:
        note_end(log, fault, exit_code=code)
        raise fault


def stop(work: Work, log: Log, *, again: bool, view: View) -> None:
    """Ask the trainer to save and end; the second time, end it."""
    if work.pid is None:
        view.say("the trainer's process id was never noted: it goes on until it is done")
    elif again:
        view.say("ending the trainer at once; what came after the last checkpoint is lost")
        with log.effect("kill"):
            work.kill()
    else:
        view.say("saving a checkpoint after this step; Ctrl-C again ends it at once, unsaved")
        with log.effect("stop"):
            work.stop()


def note_end(log: Log, fault: Fault, *, exit_code: int | None = None) -> None:
    """Journal how an attempt ended."""
    state = "interrupted" if isinstance(fault, Interrupted) else "failed"
    log.fact("ended", state=state, exit_code=exit_code, cause=fault.cause, hint=fault.hint)


def verify(run: Run, log: Log, *, view: View) -> Outcome:
    """Check every file against the manifest. Raises ``ResultRejected``."""
    view.say("verifying the adapter against its manifest")
    try:
        with log.effect("verify"):
            proof = manifest.verify(run.folder)
    except Fault as fault:
        note_end(log, fault)
        raise
    log.fact("ended", state="finished")
    seen, _ = events.read(run.events)
    steps = {event.step: event for event in seen if isinstance(event, events.Step)}
    return Outcome(run, proof, [steps[step] for step in sorted(steps)])
