"""The guard: a separate process that stops or deletes a run's pod at its deadline, even if the launcher is gone.

It survives the terminal and keeps the key in its environment only. It looks at the pod once a minute and
journals its end, its failure or a higher rate while no launcher does. It ends when the run has no pod.
"""

from contextlib import suppress
from pathlib import Path

from launcher.context import Context
from launcher.errors import BrokenJournal, WrongState
from launcher.quote.run_cost import at_day
from launcher.rental.delete import pods_of, release
from launcher.rental.end_billing import end_billing
from launcher.rental.observe import has_changed, observe
from launcher.rental.rental_context import Rental
from launcher.runpod_api import BASE_URL_VARIABLE, Api
from launcher.runs import run_folder, run_state
from launcher.runs.run_folder import Run
from launcher.runs.run_state import RunState
from launcher.secrets import RUNPOD
from launcher.settings import Settings
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import Fault, Locked

LOOK = 60.0  # seconds
LATE = 30.0  # seconds after the deadline that the pod has to act by itself; less than plan.SLACK
AGAIN = 60.0
TRIES = 5  # failed ones, after which a pod is deleted rather than stopped


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
    """Wait until the run has no pod, or until its deadline; then stop or delete the pod.

    After a few tries that failed, any pod of the run is deleted: one that cannot be stopped must not go on
    being billed for the result that may be on it.
    """
    run = run_folder.at(folder)
    with world.api(world.variable(RUNPOD)) as api:
        state, tries = RunState(), 0
        while (pod := (state := _read(run, state)).living) is not None:
            # The pod gets a job only after it has proved that it can stop itself.
            due = pod.gone_by + (LATE if pod.has_job else 0.0)
            if world.now() >= due:
                # A full disk, where nothing can be noted, must not keep a pod alive.
                try:
                    act(run, state, api, world=world, view=view, at_last=tries >= TRIES)
                    return
                except (Fault, OSError) as error:
                    tries += isinstance(error, WrongState)  # not when the API cannot be reached
                    _say(view, f"{at_day(world.now())}: {error}; trying again in {AGAIN:.0f} s")
                world.sleep(AGAIN)
            else:
                with suppress(Fault, OSError):
                    look(run, state, api, world=world, view=view)
                world.sleep(min(LOOK, max(1.0, due - world.now())))


def look(run: Run, state: RunState, api: Api, *, world: World, view: View) -> None:
    """Journal what the API shows of the pod, where that is new; a launcher that holds the run does it by itself."""
    pod = state.living
    if pod is not None and pod.id is not None and has_changed(pod, api.pod(pod.id)):
        with run_folder.hold(run, world=world) as log:
            observe(Rental(run, Context(world, view, _settings(state)), api, log))


def _settings(state: RunState) -> Settings:
    try:
        return Settings.model_validate(state.summary.get("settings", {}))
    except ValueError:
        return Settings()


def _say(view: View, text: str) -> None:
    with suppress(OSError):  # a full disk, where guard.log lies
        view.say(text)


def _read(run: Run, before: RunState) -> RunState:
    """The run's state; of a broken journal the readable rest, or ``before`` if that names no pod."""
    try:
        return run_state.read(run.journal)
    except BrokenJournal:
        left = run_state.read_leniently(run.journal)
        return left if left.pods else before


def act(
    run: Run, state: RunState, api: Api, *, world: World, view: View, at_last: bool = False
) -> None:
    """Delete a pod without a result or with a downloaded one; stop a pod that may hold a result.

    Never waits for the lock. With ``on_deadline`` delete, a pod that has stopped by itself is still kept:
    it stops itself only with a complete result. A pod in state ERROR cannot be stopped: it is deleted, as
    is every other one ``at_last``.
    """
    pod = state.living
    if pod is None:
        return
    settings = _settings(state)
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
            _say(view, f"deleted the pod without writing the journal: {fault.cause}")
            return
    ends = {
        pod_id: end_billing(pod_id, api, world, delete=at_last) for pod_id in pods_of(state, api)
    }
    for pod_id, end in ends.items():
        _say(view, f"{at_day(world.now())}: {end} pod {pod_id}, past its deadline")
    with suppress(Locked, BrokenJournal, OSError), run_folder.hold(run, world=world) as log:
        if pod.id in ends and log.state.living:
            log.fact("stopped" if ends[pod.id] == "stopped" else "gone", pod=pod.id)


def _stopped(state: RunState, api: Api) -> bool:
    found = [api.pod(pod_id) for pod_id in pods_of(state, api)]
    return any(pod is not None and pod.stopped for pod in found)
