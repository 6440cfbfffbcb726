"""Look at a pod through the API, journal what has changed, and name the commands that help."""

from launcher.errors import PodFailed
from launcher.quote.run_cost import at
from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, Pod
from launcher.runs.rented_pods import RentedPod, Seen
from launcher.runs.status import resume_hint

DEARER = 1.02  # how much above the journalled rate the API's rate may be


def state_of(pod: Pod) -> Seen:
    """How the journal names the pod's state; empty while it runs or starts."""
    return "stopped" if pod.stopped else "failed" if pod.failed else "gone" if pod.deleted else ""


def has_changed(pod: RentedPod, found: Pod | None) -> bool:
    """Whether the API shows ``pod`` in another state, or at a higher rate, than the journal has it."""
    if found is None:
        return pod.seen != "gone"
    return state_of(found) not in {"", pod.seen} or found.rate > pod.rate * DEARER


def observe(rental: Rental) -> Pod | None:
    """The newest pod as it is now, None when it is gone; a change of state or of rate is journalled.

    A pod so young that the API may not know it yet counts as running. Raises ``ApiUnavailable``.
    """
    pod_id = rental.pod_id
    pod = rental.api.pod(pod_id)
    if pod is None:
        young = rental.now() < rental.pod.since + UNSEEN
        seen: Seen = "gone" if not young and rental.api.absent(pod_id) else ""
    else:
        seen = state_of(pod)
    if seen and seen != rental.pod.seen:
        rental.log.fact(seen, pod=pod_id)
    if pod is not None and pod.rate > rental.pod.rate * DEARER:
        charge_more(rental, pod.rate)
    return None if seen == "gone" else pod


def charge_more(rental: Rental, rate: float) -> None:
    """Journal the rate at which the pod is really billed, and the deadline at which it reaches the cap."""
    settings, pod, now = rental.context.settings, rental.pod, rental.now()
    before = sum(one.cost(now) for one in rental.state.pods[:-1])
    left = settings.max_cost - before - pod.seconds(now) / 3600 * rate
    gone_by = min(pod.gone_by, now + max(left, 0.0) / rate * 3600)
    finish_by = min(pod.finish_by, gone_by - (pod.gone_by - pod.finish_by))
    rental.log.fact(
        "rate", pod=pod.id, rate=round(rate, 5), gone_by=gone_by, finish_by=max(finish_by, 0.0)
    )
    rental.say(
        f"pod {pod.id} is billed ${rate:.3f}/h, not the ${pod.rate:.3f}/h quoted: "
        f"${settings.max_cost:.2f} are reached at {at(gone_by)}, so it saves by {at(finish_by)}"
    )


def fault_of(rental: Rental) -> PodFailed | None:
    """Why nothing can be done with the newest pod now; None while it runs. To be called after ``observe``."""
    run, pod = rental.run, rental.pod
    match pod.seen:
        case "gone":
            return PodFailed(
                f"pod {pod.id} is gone: its host failed, or it was deleted",
                f"resume with: {resume_hint(run)}",
            )
        case "stopped":
            return PodFailed(
                f"pod {pod.id} is stopped; its results are on its disk",
                f"download them and delete the pod with: launch fetch {run.id}",
            )
        case "failed":
            return PodFailed(
                f"pod {pod.id} {_billed(pod)} is in state ERROR: its container does not run, and it is billed "
                f"until {at(pod.gone_by)}",
                f"start it again, download what it has saved and delete it with: launch fetch {run.id}; or "
                f"delete it at once with: launch stop {run.id} --now",
            )
        case _:
            return None


def _billed(pod: RentedPod) -> str:
    return f"({pod.gpu}, ${pod.rate:.2f}/h)"
