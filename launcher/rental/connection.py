"""The SSH connection to a pod: finds the pod's port again after a restart, accepts only the key in its log."""

from launcher.errors import ApiUnavailable, ConnectionLost, HostKeyChanged, PodFailed
from launcher.rental.boot import SshAccess, newest_key
from launcher.rental.rental import Rental
from launcher.rental.transfer import Link
from launcher.runs.run_folder import key_file
from launcher.ssh import Session
from trainer.contract.command.errors import Interrupted

PAUSE = 2.0
LONGEST_PAUSE = 30.0
STALE = 100.0  # seconds for which the API may return the old port after a restart
SINCE_UP = 5.0  # seconds by which RunPod's uptime may be behind
LATE = 300.0  # seconds past the deadline that the API may be silent before the pod is given up


class PodConnection:
    """SSH to a run's newest pod. ``patient``: after a lost connection, connect again for as long as the pod exists.

    Without ``patient`` a loss is raised as ``ConnectionLost`` at once, for a caller that tries again.
    """

    def __init__(self, rental: Rental, access: SshAccess | None = None) -> None:
        self.link = Link(self._connect, self._lost)
        self.patient = True
        self._rental = rental
        self._access = access
        self._known = (access.boot, access.host_key) if access else (-1, "")
        self._up = rental.now() if access else rental.pod.up
        self._losses = 0
        self._refused_since: float | None = None

    def close(self) -> None:
        self.link.close()

    def _connect(self) -> Session:
        access = self._access or self._find()
        world = self._rental.context.world
        try:
            session = world.connect(
                access.endpoint.host,
                access.endpoint.port,
                user=access.endpoint.user,
                key=key_file(self._rental.run, world),
                host_key=access.host_key,
            )
        except ConnectionLost:
            self._access = None
            raise
        except HostKeyChanged as fault:
            self._access = None
            self._refused(fault, access)
            raise ConnectionLost(fault.cause, fault.hint) from None
        self._access = access
        self._losses = 0
        self._refused_since = None
        return session

    def _find(self) -> SshAccess:
        """Where the pod answers now, with the key of the newest boot that its log names."""
        pod = self._rental.api.pod(self._rental.pod_id)
        if pod is None or pod.ssh is None:
            raise ConnectionLost("the pod has no SSH port now")
        found = newest_key(self._rental)
        if found is not None and found[0] >= self._known[0]:
            self._known = found
        if not self._known[1]:
            raise ConnectionLost("the pod's log names no host key yet")
        return SshAccess(pod.ssh, self._known[1], self._known[0])

    def _refused(self, fault: HostKeyChanged, access: SshAccess) -> None:
        """Raise ``fault`` unless the port may be outdated: after a restart the API returns the old one for a while.

        A container that has not restarted since it was first seen up has no old port.
        """
        now = self._rental.now()
        fresh = self._find()
        changed = (fresh.endpoint, fresh.host_key) != (access.endpoint, access.host_key)
        if self._refused_since is None:
            self._refused_since = now
            if changed:
                return
            if fresh.boot == 1 and not self._restarted(now):
                raise fault
            self._rental.say("the pod's SSH host key differs from the one in its log: trying again")
        if now - self._refused_since > STALE:
            raise fault

    def _restarted(self, now: float) -> bool:
        pod = self._rental.api.pod(self._rental.pod_id)
        if pod is None or pod.uptime is None or self._up is None:
            return True
        return now - pod.uptime > self._up + SINCE_UP

    def _lost(self, fault: ConnectionLost) -> None:
        self.must_live()
        if not self.patient:
            raise fault
        if self._rental.context.interrupted:
            raise Interrupted("interrupted while the pod could not be reached")
        self._rental.context.view.tick()
        self._rental.context.world.sleep(min(PAUSE * 2**self._losses, LONGEST_PAUSE))
        self._losses += 1

    def must_live(self) -> None:
        """Raise ``PodFailed`` when the pod is stopped or gone. An API out of reach proves nothing."""
        rented = self._rental.pod
        try:
            pod = self._rental.api.pod(self._rental.pod_id)
            gone = pod is None and self._rental.api.absent(self._rental.pod_id)
        except ApiUnavailable:
            if self._rental.now() > rented.gone_by + LATE:
                raise
            return
        if gone or (pod is not None and pod.status == "TERMINATED"):
            raise PodFailed(
                f"pod {self._rental.pod_id} is gone",
                "its host failed, or the pod was deleted; "
                f"resume with: launch train --resume {self._rental.run.id}",
            )
        if pod is not None and pod.status == "EXITED":
            raise PodFailed(
                f"pod {self._rental.pod_id} is stopped; its results are on its disk",
                f"download them and delete the pod with: launch fetch {self._rental.run.id}",
            )
        if pod is not None and pod.status == "ERROR":
            raise PodFailed(
                f"pod {self._rental.pod_id} ({rented.gpu}, ${rented.rate:.2f}/h) is in state ERROR and still billed",
                f"delete it with: launch stop {self._rental.run.id} --now",
            )
