"""Waiting for a pod to come up: pull, boot, host key, SSH port. What fails for good fails at once."""

import re
from dataclasses import dataclass

from launcher.errors import PodFailed
from launcher.machines.scene import Scene
from launcher.runpod_api import Api, Endpoint, LogLine, Pod
from trainer.contract import pod as border
from trainer.contract.errors import Interrupted, NotFound

LOOK = 2.0  # seconds between two looks at the pod
PATIENCE = 1500.0  # seconds for pull and boot together
UNSEEN = 90.0  # seconds that a fresh pod may be unknown to the API
MOST_BOOTS = 3
RECENT = 1.0  # seconds of silence after which a log has been read to its end
READING = 15.0
FATAL = re.compile(
    r"error pulling|failed to pull|pull access denied|manifest (unknown|.*not found)|unauthorized"
    r"|no basic auth|toomanyrequests|no space left|exec format error|failed to register layer"
    r"|unsatisfied condition|failed to create (task|shim)|errimagepull|imagepullbackoff",
    re.IGNORECASE,
)
PULLED = re.compile(r"Downloading (\d+)B/(\d+)B")


@dataclass(frozen=True)
class Door:
    """Where a pod's sshd answers, and with which host key, since which boot of the container."""

    endpoint: Endpoint
    host_key: str
    boot: int


def wait(api: Api, pod_id: str, run_id: str, scene: Scene) -> Door:
    """Follow the pod's log until its host key is told and its port is open.

    Raises ``PodFailed`` with the log's own words, ``Interrupted`` after Ctrl-C.
    """
    world = scene.world
    begun = world.now()
    looked = float("-inf")
    key: tuple[int, str] | None = None
    pod: Pod | None = None
    try:
        for line in api.logs(pod_id, quiet=LOOK):
            if line is not None:
                key = max(
                    filter(None, (key, border.parse_host_key(line.line, run_id))), default=None
                )
                show(line, scene)
            if scene.interrupts.count:
                raise Interrupted("interrupted before training began")
            now = world.now()
            if now - looked >= LOOK or (key is not None and line is not None):
                looked = now
                pod = api.pod(pod_id)
                _must_live(pod, pod_id, young=now - begun < UNSEEN)
            if key is not None and pod is not None and pod.ssh is not None:
                return Door(pod.ssh, key[1], key[0])
            if key is not None and key[0] > MOST_BOOTS:
                raise PodFailed(
                    f"pod {pod_id} restarts over and over", "its log is in RunPod's console"
                )
            if now - begun > PATIENCE:
                raise PodFailed(
                    f"pod {pod_id} did not come up within {PATIENCE / 60:.0f} minutes",
                    "try again, or another card",
                )
    except NotFound:
        raise PodFailed(f"pod {pod_id} vanished while it was starting", "try again") from None
    raise AssertionError


def show(line: LogLine, scene: Scene) -> None:
    """Pull progress and lifecycle. Raises ``PodFailed`` for a line after which no pod comes up."""
    if line.source != "system":
        return
    if found := PULLED.search(line.line):
        scene.view.progress("pull, MB", int(found[1]) >> 20, int(found[2]) >> 20)
    elif FATAL.search(line.line):
        raise PodFailed(
            f"the pod cannot start: {line.line}",
            "see that the image exists for linux/amd64 and that RunPod may pull it (launch doctor)",
        )
    else:
        scene.view.say(f"pod: {line.line}")


def _must_live(pod: Pod | None, pod_id: str, *, young: bool) -> None:
    if pod is None:
        if not young:
            raise PodFailed(f"pod {pod_id} is gone before it came up", "try again")
    elif pod.status in {"EXITED", "ERROR", "TERMINATED"}:
        raise PodFailed(f"pod {pod_id} is {pod.status} before it came up", "try again")


def newest_key(api: Api, pod_id: str, run_id: str, scene: Scene) -> tuple[int, str] | None:
    """The host key of the newest boot that the container log names now."""
    key: tuple[int, str] | None = None
    begun = scene.world.now()
    try:
        for line in api.logs(pod_id, source="container", quiet=RECENT):
            if line is None or scene.world.now() - begun > READING:
                break
            key = max(filter(None, (key, border.parse_host_key(line.line, run_id))), default=None)
    except NotFound:
        return None
    return key
