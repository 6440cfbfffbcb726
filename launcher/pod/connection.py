"""The SSH connection to a pod: finds the pod's port again after a restart, accepts only the key in its log."""

from contextlib import ExitStack

from launcher.errors import ApiUnavailable, ConnectionLost, HostKeyChanged, PodFailed
from launcher.pod.boot import BadHost, SshAccess, newest_key
from launcher.pod.transfer import Link
from launcher.rental.observe import fault_of, observe
from launcher.rental.rental_context import Rental
from launcher.runs.run_folder import key_file
from launcher.runs.status import resume_hint
from launcher.ssh import Session
from launcher.world import Wait
from trainer.contract.command.errors import Interrupted

PAUSE = 2.0
LONGEST_PAUSE = 30.0
STALE = 100.0  # seconds for which the API may return the old port after a restart
SINCE_UP = 5.0  # seconds by which RunPod's uptime may be behind
LATE = 300.0  # seconds past the deadline that the API may be silent before the pod is given up
FIRST_CONTACT = 180.0  # seconds that a pod that is up may be out of reach


def likely_cause(lost: str) -> str:
    """What an SSH connection that fails like this points to."""
    if "refused" in lost:
        return "the pod's SSH server is not running, or its port is mapped wrongly"
    if "timed out" in lost or "no answer" in lost or "unreachable" in lost:
        return "a firewall, often this network's own, drops the connection"
    if "banner" in lost or "closed" in lost or "EOF" in lost or "reset" in lost:
        return "something other than the pod's SSH server answers, or it is overloaded"
    return ""


def unreachable(rental: Rental, lost: ConnectionLost) -> PodFailed:
    """The fault of a pod that never answered over SSH; another host may only where the pod is the cause."""
    then = f"launch fetch {rental.run.id}" if rental.pod.has_job else resume_hint(rental.run)
    kind = BadHost if "refused" in lost.cause else PodFailed
    cause = likely_cause(lost.cause)
    return kind(
        f"pod {rental.pod_id} cannot be reached over SSH for {FIRST_CONTACT / 60:.0f} minutes: {lost.cause}"
        + f": {cause}" * bool(cause),
        "allow outgoing TCP connections to high ports (22 is mapped to another port), or start from another "
        f"network; then: {then}",
    )


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
        self._reached = False
        self._started = access is not None
        self._waits = ExitStack()
        self._wait: Wait | None = None
        self._lost_since: float | None = None
        self._refused_since: float | None = None

    def close(self) -> None:
        self._close_wait()
        self.link.close()

    def _close_wait(self) -> None:
        self._waits.close()
        self._wait = None

    def _connect(self) -> Session:
        if self._wait is None:
            self._wait = self._waits.enter_context(self._rental.waiting("an SSH connection"))
        access = self._access or self._find()
        context, world = self._rental.context, self._rental.context.world
        presses = context.interrupts.count

        def stop() -> bool:
            world.report_wait()
            return context.interrupts.count > presses

        try:
            session = world.connect(
                access.endpoint.host,
                access.endpoint.port,
                user=access.endpoint.user,
                key=key_file(self._rental.run, world),
                host_key=access.host_key,
                stop=stop,
            )
        except ConnectionLost:
            self._access = None
            raise
        except HostKeyChanged as fault:
            self._access = None
            self._refused(fault, access)
            raise ConnectionLost(fault.cause, fault.hint) from None
        self._access = access
        if not self._reached:
            self._rental.say("connected over SSH; the pod's host key is the one in its log")
        self._reached = True
        self._losses = 0
        self._lost_since = self._refused_since = None
        self._close_wait()
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
        context, now = self._rental.context, self._rental.now()
        self._lost_since = now if self._lost_since is None else self._lost_since
        end = self._lost_since + FIRST_CONTACT if self._started and not self._reached else None
        if self._wait is not None:
            self._wait.until, self._wait.maybe = end, likely_cause(fault.cause)
        if not self.patient:
            raise fault
        if context.interrupted:
            raise Interrupted("interrupted while the pod could not be reached")
        if end is not None and now > end:
            raise unreachable(self._rental, fault)
        context.view.tick()
        context.sleep(min(PAUSE * 2**self._losses, LONGEST_PAUSE))
        self._losses += 1

    def must_live(self) -> None:
        """Raise ``PodFailed`` when the pod does not run. An API out of reach proves nothing."""
        try:
            observe(self._rental)
        except ApiUnavailable:
            if self._rental.now() > self._rental.pod.gone_by + LATE:
                raise
            return
        if fault := fault_of(self._rental):
            raise fault
