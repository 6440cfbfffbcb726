"""``launch stop``: stop a run, keep what it has trained, and delete its pod."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from launcher.context import Context
from launcher.follow import stop as ask
from launcher.machines import MACHINES
from launcher.request import Request, resolve
from launcher.runs import run_folder, status
from launcher.runs.result import Outcome, is_done, verify
from launcher.runs.run_folder import Log, Run
from launcher.train import conclude
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import Interrupted, Locked, NotFound

ANSWER = 60.0  # seconds that a running launcher has to exit
LOOK = 0.2


def stop(name: str, *, at_once: bool, world: World, view: View) -> Outcome:
    """Ask the trainer to save, download the result, delete the pod. ``at_once``: nothing is saved.

    Another launcher that runs the run has to exit first.
    Returns the outcome of a run that was about to finish anyway. Raises ``Interrupted`` with what was saved,
    ``NotFound`` when the run is not running, ``Locked`` when the other launcher does not exit.
    """
    plan = resolve(Request(resume=name), world=world)
    run = plan.run
    context = Context(
        world,
        view,
        plan.settings,
        start_stopped=True,  # a pod that has stopped may hold what it saved
        stop_file=None if at_once else run.stop_now_request,
    )
    machine = MACHINES[plan.where](context)
    with (
        world.interrupts(context.interrupts),
        take_over(run, context, at_once=at_once) as taken,
        status.with_pod_facts(run, taken.log, world),
    ):
        log = taken.log
        work = machine.find(run, log)
        if work is None:
            if taken.asked:
                return ended(run, log, view=view)
            raise NotFound(f"run {run.id} is not running", "see its state with: launch ps")
        pod = log.state.living
        if at_once or (pod is not None and not pod.has_job):
            view.say("stopping the run now; steps after the last checkpoint are lost")
            with log.effect("kill"):
                if pod is None:
                    work.kill()
            work.release()
            fault = Interrupted(
                "stopped; nothing keeps running", f"resume with: {status.resume_hint(run)}"
            )
            log.note_end(fault)
            raise fault
        work.prepare(plan.job, resume=True)
        ask(work, log, again=False, context=context)
        return conclude(run, work, log, context)


@dataclass(frozen=True)
class Taken:
    """The journal of a locked run; ``asked``: another launcher had to exit first."""

    log: Log
    asked: bool


@contextmanager
def take_over(run: Run, context: Context, *, at_once: bool) -> Iterator[Taken]:
    """Hold the run's lock, inside; ask the process that holds it to exit, and wait for that.

    Raises ``Locked`` when it does not, ``Interrupted`` after Ctrl-C.
    """
    stop_files = [run.stop_request, *[run.stop_now_request] * at_once]
    asked: float | None = None
    with ExitStack() as stack:
        log: Log | None = None
        while log is None:
            try:
                log = stack.enter_context(run_folder.hold(run, world=context.world))
            except Locked as fault:
                if asked is None:
                    asked = context.world.now()
                    context.view.say(f"{fault.cause}: asking it to exit")
                _wait(run, context, fault, stop_files, until=asked + ANSWER)
        yield Taken(log, asked is not None)


def _wait(
    run: Run, context: Context, fault: Locked, stop_files: Sequence[Path], *, until: float
) -> None:
    """Repeat the request, which a launcher that has begun meanwhile has cleared, and wait a moment."""
    late = context.world.now() >= until
    if late or context.interrupts.count:
        for stop_file in stop_files:
            stop_file.unlink(missing_ok=True)
    if context.interrupts.count:
        raise Interrupted("interrupted: the run continues", fault.hint)
    if late:
        raise Locked(
            f"{fault.cause}, and did not exit within {ANSWER:.0f} s",
            "it may be downloading the result, after which it deletes the pod: see launch ps; "
            f"if it hangs, kill that process, then run again: launch stop {run.id}",
        )
    for stop_file in stop_files:
        stop_file.touch()
    context.view.tick()
    context.world.sleep(LOOK)


def ended(run: Run, log: Log, *, view: View) -> Outcome:
    """The outcome of a run that the other launcher has ended by itself.

    Raises ``Interrupted`` where there is no result.
    """
    if is_done(run):
        return verify(run, log, view=view)
    cause = log.state.summary.get("cause")
    why = f": {cause}" if cause else ""
    raise Interrupted(
        f"stopped{why}; nothing keeps running", f"resume with: {status.resume_hint(run)}"
    )
