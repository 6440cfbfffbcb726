"""Wait until a pod has started: image pull, boot, host key, SSH port. A permanent failure is raised at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from launcher.context import Context
from launcher.errors import PodFailed
from launcher.pod.blame import Blame, find
from launcher.rental.rental_context import Rental
from launcher.runpod_api import UNSEEN, Api, Endpoint, LogLine, Pod
from trainer.contract import pod as border
from trainer.contract.command.errors import Interrupted, NotFound

LOOK = 2.0  # seconds between two looks at the pod
PATIENCE = 1500.0  # seconds for pull and boot together
MOST_BOOTS = 3
RECENT = 1.0  # seconds of silence after which a log has been read to its end
READING = 15.0
HUNG = 600.0  # seconds without a word in the log
HINTS = {
    Blame.HOST: "try again, or choose another card",
    Blame.CAPACITY: "try again later, or choose another card",
    Blame.LINK: "the host cannot reach the registry: try again, or choose another card",
    Blame.IMAGE: "every host would fail alike: build the image again with launch image, or name another with "
    "--image; it must be one of this project, for linux/amd64",
    Blame.ACCOUNT: "RunPod may not pull the image: check its registry credential with: launch doctor",
}
CUDA = re.compile(r"CUDA (?:\w+ )?Version: *(\d+\.\d+)")
PULLED = re.compile(r"Downloading (\d+)B/(\d+)B")


class BadHost(PodFailed):
    """The pod's host does not start it; another host may."""


@dataclass(frozen=True)
class SshAccess:
    """SSH access to a pod: address, host key, and the boot of the container that made the key."""

    endpoint: Endpoint
    host_key: str
    boot: int


def wait(rental: Rental, *, most_boots: float = MOST_BOOTS) -> SshAccess:
    """Follow the pod's log until it has printed its host key and its SSH port is open.

    Boots are counted over the pod's whole life: for a pod that was stopped, pass an infinite ``most_boots``.
    Raises ``PodFailed`` with the line of the log, ``BadHost`` where another host may succeed,
    ``Interrupted`` after Ctrl-C.
    """
    api, pod_id, context, world = rental.api, rental.pod_id, rental.context, rental.context.world
    begun = heard = world.now()
    looked = float("-inf")
    key: Key | None = None
    pod: Pod | None = None
    with rental.waiting(f"pod {pod_id} to start", until=begun + PATIENCE) as wait:
        try:
            for line in _log(api, pod_id, context, until=begun + UNSEEN):
                if line is not None:
                    wait.reported = world.now()
                    key = newer(key, border.parse_host_key(line.line, rental.run.id))
                    heard = world.now()
                    show(line, context)
                if context.interrupted:
                    raise Interrupted("interrupted before training began")
                wait.what = f"pod {pod_id} to show {'its SSH address' if key else 'its host key in its log'}"
                world.report_wait()
                now = world.now()
                if now - looked >= LOOK or (key is not None and line is not None):
                    looked = now
                    pod = api.pod(pod_id)
                    _must_live(pod, pod_id, young=now - begun < UNSEEN)
                if key is not None and pod is not None and pod.ssh is not None:
                    return SshAccess(pod.ssh, key[1], key[0])
                if key is not None and key[0] > most_boots:
                    raise BadHost(
                        f"pod {pod_id} keeps restarting", "see its log in RunPod's console"
                    )
                if key is None and now - heard > HUNG:
                    raise BadHost(
                        f"pod {pod_id} has logged nothing for {HUNG / 60:.0f} minutes: its image pull hangs",
                        "try again, or choose another card",
                    )
                if now - begun > PATIENCE:
                    raise BadHost(
                        f"pod {pod_id} did not start within {PATIENCE / 60:.0f} minutes",
                        "try again, or choose another card",
                    )
        except NotFound:
            raise BadHost(f"pod {pod_id} disappeared while it was starting", "try again") from None
    raise AssertionError


def _log(api: Api, pod_id: str, context: Context, *, until: float) -> Iterator[LogLine | None]:
    """The pod's log; that it is unknown counts from the instant ``until`` on."""
    while True:
        try:
            yield from api.logs(pod_id, quiet=LOOK)
        except NotFound:
            if context.world.now() >= until:
                raise
        yield None


def show(line: LogLine, context: Context) -> None:
    """Pull progress and lifecycle. Raises ``PodFailed`` for a line after which no pod comes up."""
    if line.source != "system":
        return
    if found := PULLED.search(line.line):
        context.view.progress("pull (bytes)", int(found[1]), int(found[2]))
    elif cause := find(line.line):
        kind = BadHost if cause.blame.another_card_may_help else PodFailed
        raise kind(f"the pod cannot start ({cause.blame}): {cause.text}", HINTS[cause.blame])
    else:
        context.view.say(f"pod: {line.line}")


def _must_live(pod: Pod | None, pod_id: str, *, young: bool) -> None:
    if pod is None:
        if not young:
            raise BadHost(f"pod {pod_id} disappeared before it started", "try again")
    elif pod.stopped or pod.failed or pod.deleted:
        raise BadHost(f"pod {pod_id} went into state {pod.status} before it started", "try again")


def driver_too_old(told: str, needed: str) -> str | None:
    """The CUDA version in ``nvidia-smi``'s output ``told``, if it is below ``needed``; else None."""
    found = CUDA.search(told)
    if found is None or _version(found[1]) >= _version(needed):
        return None
    return found[1]


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


Key = tuple[int, str]
"""The boot of a container, counted from 1, and the SSH host key that it made."""


def newer(one: Key | None, other: Key | None) -> Key | None:
    """The key of the later boot."""
    return max(filter(None, (one, other)), default=None)


def newest_key(rental: Rental) -> Key | None:
    """The host key of the newest boot that the container log names now."""
    key: Key | None = None
    begun = rental.now()
    try:
        for line in rental.api.logs(rental.pod_id, source="container", quiet=RECENT):
            if line is None or rental.now() - begun > READING:
                break
            key = newer(key, border.parse_host_key(line.line, rental.run.id))
    except NotFound:
        return None
    return key
