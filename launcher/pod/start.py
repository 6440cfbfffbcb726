"""From a rented pod to one that may get the job: started, reachable over SSH, able to stop itself."""

from collections.abc import Callable
from contextlib import suppress
from math import inf

from launcher.errors import NoCapacity, PodFailed, PodRefused
from launcher.pod import boot, transfer
from launcher.pod.boot import BadHost
from launcher.pod.connection import PodConnection
from launcher.rental import observe
from launcher.rental.delete import release
from launcher.rental.rental_context import Rental
from trainer.contract import events
from trainer.contract import pod as border
from trainer.contract.command.errors import Interrupted, NotFound

PAUSE = 0.5  # seconds between two looks
PROBED = 60.0  # seconds that a pod has to prove what its key may do


def start(rental: Rental, *, another: Callable[[], None] | None) -> PodConnection:
    """Wait for the pod; rent ``another`` one if the host is the cause of a failure."""
    while True:
        connection: PodConnection | None = None
        try:
            connection = _wait(rental)
            _must_have_a_driver(rental, connection)
            return connection
        except BadHost as fault:
            if another is None:
                raise
            rental.say(f"{fault.cause}: deleting it, then trying another card")
            if connection is not None:
                connection.close()
            release(rental, reason=fault.cause)
            another()


def start_stopped(rental: Rental, *, guard: Callable[[], None]) -> PodConnection:
    """Start a stopped pod, which keeps its results. Raises ``PodFailed`` unless ``launch fetch`` was called."""
    pod_id, run, api = rental.pod_id, rental.run, rental.api
    fault = observe.fault_of(rental)
    if fault is not None and not rental.context.start_stopped:
        raise fault
    with rental.log.effect("wake", pod=pod_id):
        guard()
        try:
            api.start(pod_id)
        except NoCapacity as fault:
            raise NoCapacity(
                fault.cause,
                "the pod's host has no card free now; its results stay on its disk. Try again later with: "
                f"launch fetch {run.id}; or give them up with: launch stop {run.id} --now",
            ) from None
    try:
        connection = _wait(rental, most_boots=inf)
        connection.link.ask(lambda session: session.size("/"))
        return connection
    except Exception:
        with suppress(NotFound):  # a pod without a job deletes itself
            api.stop(pod_id)
        raise


def _wait(rental: Rental, *, most_boots: float = boot.MOST_BOOTS) -> PodConnection:
    access = boot.wait(rental, most_boots=most_boots)
    rental.log.fact("up", host=access.endpoint.host, port=access.endpoint.port, boot=access.boot)
    rental.say(
        f"pod {rental.pod_id} is up: connecting to {access.endpoint.host}:{access.endpoint.port}"
    )
    return PodConnection(rental, access)


def _must_have_a_driver(rental: Rental, connection: PodConnection) -> None:
    """Raise ``BadHost`` if the host's driver is older than the API reported."""
    needed = rental.context.settings.cuda
    told = connection.link.ask(lambda session: session.run("nvidia-smi"))
    if old := boot.driver_too_old(told.stdout.decode(errors="replace"), needed):
        raise BadHost(
            f"pod {rental.pod_id} has a driver for CUDA {old}, the image needs {needed}",
            "try again, or choose another card",
        )


def must_stop_itself(rental: Rental, connection: PodConnection) -> None:
    """Wait for the pod's report whether it can stop itself; without that ``unguarded`` must be set."""
    world, give_up = rental.context.world, rental.now() + PROBED
    said = f"{border.MAY_NOT_ACT}: no answer within {PROBED:.0f} s"
    there = f"{border.run_folder(rental.run.id)}/events.jsonl"
    while world.now() < give_up:
        transfer.mirror(connection.link, there, rental.run.events)
        seen, _ = events.read(rental.run.events)
        told = [e for e in seen if isinstance(e, events.Phase) and e.name == "probed"]
        if told:
            said = told[-1].detail
            break
        if rental.context.interrupted:
            raise Interrupted("interrupted before training began")
        world.sleep(PAUSE)
    if said.startswith(border.ENDED_BY_PROBE):
        raise PodFailed(f"pod {rental.pod_id} tested its rights and {said}")
    if said in {border.MAY_STOP, border.MAY_DELETE}:
        rental.say(f"pod {rental.pod_id} {said}")
    if said.startswith(border.MAY_NOT_ACT) and not rental.context.settings.unguarded:
        raise PodRefused(
            f"the pod cannot stop itself at its deadline: it {said}",
            "if this machine is off at the deadline, the pod stays billed; to accept that, with only "
            "the guard on this machine and launch reap: --unguarded yes",
        )
