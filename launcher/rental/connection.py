"""The SSH connection to a pod: finds the pod's port again after a restart, accepts only the key in its log."""

from pathlib import Path

from launcher.errors import ApiUnavailable, ConnectionLost, HostKeyChanged, PodFailed
from launcher.rental.boot import Door, newest_key
from launcher.rental.transfer import Link
from launcher.runpod_api import Api
from launcher.runs.rented_pods import Rented, key_file
from launcher.runs.run_folder import Run
from launcher.scene import Scene
from launcher.ssh import Session
from trainer.contract.command.errors import Interrupted

PAUSE = 2.0
LONGEST_PAUSE = 30.0
STALE = 100.0  # seconds for which the API may return the old port after a restart
SINCE_UP = 5.0  # seconds by which RunPod's uptime may be behind
LATE = 300.0  # seconds past the deadline that the API may be silent before the pod is given up


class Reach:
    """SSH to one pod. ``patient``: after a lost connection, connect again for as long as the pod exists.

    Without ``patient`` a loss is raised as ``ConnectionLost`` at once, for a caller that tries again.
    """

    def __init__(
        self, api: Api, run: Run, pod: Rented, scene: Scene, door: Door | None = None
    ) -> None:
        self.link = Link(self._dial, self._lost)
        self.patient = True
        self._api = api
        self._run = run
        self._pod = pod
        self._scene = scene
        self._door = door
        self._known = (door.boot, door.host_key) if door else (-1, "")
        self._up = scene.world.now() if door else pod.up
        self._key: Path = key_file(run, scene.world)
        self._losses = 0
        self._refused_since: float | None = None

    @property
    def pod_id(self) -> str:
        assert self._pod.pod is not None
        return self._pod.pod

    def close(self) -> None:
        self.link.close()

    def _dial(self) -> Session:
        door = self._door or self._find_door()
        world = self._scene.world
        try:
            session = world.connect(
                door.endpoint.host,
                door.endpoint.port,
                user=door.endpoint.user,
                key=self._key,
                host_key=door.host_key,
            )
        except ConnectionLost:
            self._door = None
            raise
        except HostKeyChanged as fault:
            self._door = None
            self._refused(fault, door)
            raise ConnectionLost(fault.cause, fault.hint) from None
        self._door = door
        self._losses = 0
        self._refused_since = None
        return session

    def _find_door(self) -> Door:
        """Where the pod answers now, with the key of the newest boot that its log names."""
        pod = self._api.pod(self.pod_id)
        if pod is None or pod.ssh is None:
            raise ConnectionLost("the pod has no SSH port now")
        found = newest_key(self._api, self.pod_id, self._run.id, self._scene)
        if found is not None and found[0] >= self._known[0]:
            self._known = found
        if not self._known[1]:
            raise ConnectionLost("the pod's log names no host key yet")
        return Door(pod.ssh, self._known[1], self._known[0])

    def _refused(self, fault: HostKeyChanged, door: Door) -> None:
        """Raise ``fault`` unless the port may be outdated: after a restart the API returns the old one for a while.

        A container that has not restarted since it was first seen up has no old port.
        """
        now = self._scene.world.now()
        fresh = self._find_door()
        changed = (fresh.endpoint, fresh.host_key) != (door.endpoint, door.host_key)
        if self._refused_since is None:
            self._refused_since = now
            if changed:
                return
            if fresh.boot == 1 and not self._restarted(now):
                raise fault
            self._scene.view.say(
                "the pod's SSH host key differs from the one in its log: trying again"
            )
        if now - self._refused_since > STALE:
            raise fault

    def _restarted(self, now: float) -> bool:
        pod = self._api.pod(self.pod_id)
        if pod is None or pod.uptime is None or self._up is None:
            return True
        return now - pod.uptime > self._up + SINCE_UP

    def _lost(self, fault: ConnectionLost) -> None:
        self.must_live()
        if not self.patient:
            raise fault
        if self._scene.interrupted:
            raise Interrupted("interrupted while the pod could not be reached")
        self._scene.view.tick()
        self._scene.world.sleep(min(PAUSE * 2**self._losses, LONGEST_PAUSE))
        self._losses += 1

    def must_live(self) -> None:
        """Raise ``PodFailed`` when the pod is stopped or gone. An API out of reach proves nothing."""
        gpu = self._pod.facts.get("gpu")
        try:
            pod = self._api.pod(self.pod_id)
            gone = pod is None and self._api.absent(self.pod_id)
        except ApiUnavailable:
            if self._scene.world.now() > self._pod.gone_by + LATE:
                raise
            return
        if gone or (pod is not None and pod.status == "TERMINATED"):
            raise PodFailed(
                f"pod {self.pod_id} is gone",
                "its host failed, or the pod was deleted; "
                f"resume with: launch train --resume {self._run.id}",
            )
        if pod is not None and pod.status == "EXITED":
            raise PodFailed(
                f"pod {self.pod_id} is stopped; its results are on its disk",
                f"download them and delete the pod with: launch fetch {self._run.id}",
            )
        if pod is not None and pod.status == "ERROR":
            raise PodFailed(
                f"pod {self.pod_id} ({gpu}, ${self._pod.rate:.2f}/h) is in state ERROR and still billed",
                f"delete it with: launch stop {self._run.id} --now",
            )
