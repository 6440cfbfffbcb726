"""Following a run until its trainer has ended, and what Ctrl-C does meanwhile."""

from contextlib import suppress

from launcher.context import Context
from launcher.errors import NoEngine, PodFailed, PodRefused
from launcher.machines import Work
from launcher.runs import status
from launcher.runs.run_folder import Log, Run
from trainer.contract import events
from trainer.contract.command.errors import Fault, Interrupted

POLL = 0.2  # seconds between two looks at the events


class Detached(Interrupted):
    """This process no longer follows the run; the run continues."""


def watch(run: Run, work: Work, log: Log, context: Context) -> Fault | None:
    """Show the trainer's events until it ends; return the fault when there is no result.

    On the first Ctrl-C the trainer saves and ends, the second kills it. Where the trainer can run
    without this process, Ctrl-C detaches instead and ``Detached`` is raised; the same happens when
    another process wants to stop the run. If this process fails, a line for the user reports whether the
    trainer keeps running.
    """
    world, view = context.world, context.view
    seen: list[events.Event] = []
    handled = 0

    def attend() -> None:
        nonlocal handled
        view.tick()
        if context.stop_requested:
            ended = f"run {run.id} is being stopped from another terminal"
            log.fact("left", cause=ended)
            raise Detached(ended, "that terminal downloads the result and prints the outcome")
        while handled < context.interrupts.count:
            handled += 1
            left = work.leave()
            if left is not None:
                log.fact("left", cause=left)
                raise Detached(left, f"follow it again with: launch attach {run.id}")
            stop(work, log, again=handled > 1, context=context)

    def wait() -> None:
        attend()
        world.sleep(POLL)

    if "most" in log.state.quote:
        view.bill(lambda: log.state.spent(world.now()), float(log.state.quote["most"]))
    try:
        for event in events.follow(
            run.events, offset=log.state.offset or 0, alive=work.alive, wait=wait
        ):
            if not isinstance(event, events.Step):  # of those there are more than memory is for
                seen.append(event)
            view.event(event)
            attend()
    except (Interrupted, PodFailed, PodRefused):
        raise
    except BaseException as error:
        unknown = isinstance(error, NoEngine)  # a container may have ended with its engine
        runs = (
            "whether the trainer still runs is unknown" if unknown else "the trainer keeps running"
        )
        with suppress(OSError):
            view.say(f"{runs}; continue with: {status.resume_hint(run)}")
        raise
    return status.fault_of(
        run, seen, exit_code=work.exit_code(), lost=work.lost, stopped=handled > 0
    )


def stop(work: Work, log: Log, *, again: bool, context: Context) -> None:
    """Ask the trainer to save and end; the second time, end it."""
    view = context.view
    if again:
        view.say("killing the trainer; steps after the last checkpoint are lost")
        with log.effect("kill"):
            work.kill()
    else:
        view.say(
            "saving a checkpoint after this step; Ctrl-C again kills the trainer without saving"
        )
        with log.effect("stop"):
            work.stop()
