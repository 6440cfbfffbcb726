"""The guard: a separate process that stops or deletes a run's pod at its deadline, even if the launcher is gone.

It survives the terminal and keeps the key in its environment only. It reads the journal, writes to it
only when it deletes a pod, and ends when the run has no pod.
"""

from contextlib import suppress
from pathlib import Path

from launcher.context import Context
from launcher.errors import ApiUnavailable, BrokenJournal
from launcher.quote.run_cost import at_day
from launcher.rental.delete import pods_of, release
from launcher.rental.rental import Rental
from launcher.runpod_api import BASE_URL_VARIABLE, Api
from launcher.runs import run_folder, run_state
from launcher.runs.run_folder import Run
from launcher.runs.run_state import RunState
from launcher.secrets import RUNPOD
from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import Fault, Locked

LOOK = 30.0  # seconds
LATE = 30.0  # seconds after the deadline that the pod has to act by itself; less than plan.SLACK
AGAIN = 60.0


def lock_file(run: Run) -> Path:
    """Held by the guard for as long as it lives."""
    return run.folder / ".guard.lock"


def begin(run: Run, world: World, key: str) -> int | None:
    """Start a guard unless one lives; return its process id."""
    path = lock_file(run)
    try:
        with run_folder.lock(path, world=world) as held:
            variables = {RUNPOD: key}
            if url := world.variable(BASE_URL_VARIABLE):
                variables[BASE_URL_VARIABLE] = url
            child = world.start(
                world.python("launcher", "guard", str(run.folder)),
                log=run.folder / "guard.log",
                lock=held,
                variables=variables,
            )
    except BlockingIOError:
        return None
    return child.pid


def watch(folder: Path, *, world: World, view: View) -> None:
    """Wait until the run has no pod, or until its deadline; then stop or delete the pod."""
    run = run_folder.at(folder)
    with world.api(world.variable(RUNPOD)) as api:
        state = RunState()
        while (pod := (state := _read(run, state)).living) is not None:
            # The pod gets a job only after it has proved that it can stop itself.
            due = pod.gone_by + (LATE if pod.has_job else 0.0)
            if world.now() >= due:
                # A full disk, where nothing can be noted, must not keep a pod alive.
                with suppress(Fault, OSError):
                    act(run, state, api, world=world, view=view)
                    return
                world.sleep(AGAIN)
            else:
                world.sleep(min(LOOK, max(1.0, due - world.now())))


def _read(run: Run, before: RunState) -> RunState:
    """The run's state; of a broken journal the readable rest, or ``before`` if that names no pod."""
    try:
        return run_state.read(run.journal)
    except BrokenJournal:
        left = run_state.read_leniently(run.journal)
        return left if left.pods else before


def act(run: Run, state: RunState, api: Api, *, world: World, view: View) -> None:
    """Delete a pod without a result or with a downloaded one; stop a pod that may hold a result.

    Never waits for the lock. With ``on_deadline`` delete, a pod that has stopped by itself is still kept:
    it stops itself only with a complete result.
    """
    pod = state.living
    if pod is None:
        return
    try:
        settings = Settings.model_validate(state.summary.get("settings", {}))
    except ValueError:
        settings = Settings()
    unwanted = settings.on_deadline == "delete" and not _stopped(state, api)
    if pod.fetched or pod.up is None or unwanted:
        try:
            with run_folder.hold(run, world=world) as log:
                rental = Rental(run, Context(world, view, settings), api, log)
                release(rental, reason="deadline, by the guard")
            return
        except (Locked, BrokenJournal) as fault:
            for pod_id in pods_of(state, api):
                api.release(pod_id)
            view.say(f"deleted the pod without writing the journal: {fault.cause}")
            return
    for pod_id in pods_of(state, api):
        found = api.pod(pod_id)
        if found is not None and found.status not in {"EXITED", "TERMINATED"}:
            if api.stop(pod_id).status not in {"EXITED", "TERMINATED"}:
                world.sleep(1.0)
                if (now := api.pod(pod_id)) is not None and now.status == "RUNNING":
                    raise ApiUnavailable(
                        f"pod {pod_id} does not stop",
                        "it is still billed: stop it in RunPod's console",
                    )
            view.say(f"{at_day(world.now())}: stopped pod {pod_id}, past its deadline")


def _stopped(state: RunState, api: Api) -> bool:
    found = [api.pod(pod_id) for pod_id in pods_of(state, api)]
    return any(pod is not None and pod.status == "EXITED" for pod in found)
