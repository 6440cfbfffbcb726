"""A run whose launcher and guard are killed: the pod must end itself at its deadline."""

import signal
from collections.abc import Sequence
from pathlib import Path

from launcher.context import Context
from launcher.doctor import Finding
from launcher.quote.run_cost import at
from launcher.rental import guard
from launcher.runpod_api import Api
from launcher.runs import run_folder, run_state
from launcher.runs.rented_pods import RentedPod
from launcher.runs.run_folder import Run, key_file
from launcher.settings import Settings
from launcher.world import Child
from trainer.contract.command.errors import Interrupted

WHAT = "the pod ends itself"
LOOK = 2.0  # seconds between two looks
LATE = 120.0  # seconds past the deadline until it counts as missed
SOON = 900.0  # seconds for the pod to get its job


def check(run: Run, job: Sequence[str], *, api: Api, context: Context) -> Finding:
    """Start ``launch train`` as a separate process, kill it once the pod has its job, wait for the pod's end."""
    world = context.world
    run.folder.mkdir(parents=True, exist_ok=True)
    words = ["train", *job, *flags(context.settings)]
    with run_folder.lock(run.folder.with_suffix(".lock"), world=world) as held:
        log = run.folder.with_suffix(".txt")
        child = world.start(world.python("launcher", *words), log=log, lock=held)
    try:
        pod = _trains(run, child, context)
    finally:
        _kill(run, child, context)
    if pod is None or pod.id is None:
        last = _last_line(log)
        return Finding(WHAT, ok=False, detail=f"it never got its job: {last}")
    context.view.say(
        f"killed the launcher and its guard; pod {pod.id} must delete itself by {at(pod.gone_by)}"
    )
    ended = _ended(pod.id, pod.gone_by + LATE, api=api, context=context)
    if ended is None:
        detail = f"pod {pod.id} still exists {LATE:.0f} s after its deadline {at(pod.gone_by)}"
        return Finding(WHAT, ok=False, detail=detail, remedy=f"launch stop {run.id} --now")
    with run_folder.hold(run, world=world) as held_log:
        held_log.fact("gone", pod=pod.id, reason="deleted itself at its deadline")
    key_file(run, world).unlink(missing_ok=True)
    early = pod.gone_by - ended
    detail = (
        f"launcher and guard killed, pod {pod.id} deleted itself by {at(ended)}, "
        f"{abs(early):.0f} s {'before' if early >= 0 else 'after'} its deadline"
    )
    return Finding(WHAT, ok=True, detail=detail)


def flags(settings: Settings) -> list[str]:
    """The settings as flags of ``launch train``."""
    found: list[str] = []
    for name, value in settings.model_dump(exclude_none=True).items():
        text = ("no", "yes")[value] if isinstance(value, bool) else str(value)
        found += [f"--{name.replace('_', '-')}={text}"] * bool(text)
    return found


def _trains(run: Run, child: Child, context: Context) -> RentedPod | None:
    """The pod, once it has its job; None when the launcher ends before."""
    until = context.world.now() + SOON
    with context.world.waiting(f"the pod of run {run.id} to get its job", until=until):
        while child.exit_code() is None and context.world.now() < until:
            pod = run_state.read_leniently(run.journal).living
            if pod is not None and pod.has_job:
                return pod
            _wait(context)
    return None


def _kill(run: Run, child: Child, context: Context) -> None:
    """End the launcher and the guard that it started, as a power cut would."""
    context.world.signal(child.pid, signal.SIGKILL)
    while child.exit_code() is None:
        context.world.sleep(0.05)
    guards = run_state.read_leniently(run.journal).guards
    if guards and run_folder.is_locked(guard.lock_file(run)):
        context.world.signal(guards[-1], signal.SIGKILL)


def _ended(pod_id: str, until: float, *, api: Api, context: Context) -> float | None:
    """When neither get nor list showed the pod any more; None when that does not come."""
    with context.world.waiting(f"pod {pod_id} to delete itself", until=until):
        while not api.absent(pod_id):
            if context.world.now() > until:
                return None
            _wait(context)
    return context.world.now()


def _wait(context: Context) -> None:
    context.view.tick()
    if context.interrupted:
        raise Interrupted("interrupted", "see whether a pod is left with: launch reap")
    context.world.sleep(LOOK, stop=lambda: context.interrupted)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    return lines[-1] if lines else "no message"
