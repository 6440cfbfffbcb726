"""One boot of a pod: starts sshd and the deadline guard, keeps the boot state on disk, and writes the event log."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from trainer.contract import events, pod
from trainer.contract.command.errors import Fault, is_no_space
from trainer.contract.pod import PodSettings
from trainer.pod import boot_state
from trainer.pod.event_log import EventLog
from trainer.pod.paths import Paths, child_environment
from trainer.pod.release import MARK, Answer
from trainer.pod.system import System
from trainer.processes.child import Child

IDLE_POLL = 1.0
PROBE_AGAIN = 5.0
RESPAWN_EVERY = 5.0
# The supervisor acts this long before the guard does, so that it can still write an event about it.
LEAD = 5.0
GUARD_NEEDS = ("RUNPOD_API_KEY", "RUNPOD_POD_ID", "RUNPOD_API_BASE_URL")


class DeadlineReached(Exception):  # noqa: N818 - not an error
    """The pod must stop or delete itself now."""


class ContainerStopped(Exception):  # noqa: N818 - not an error
    """The container received a signal to stop."""


def _rights(answer: Answer) -> str:
    """Write what a probe's ``answer`` reports of the pod's rights, as the launcher reads it."""
    if not answer.may:
        doubt = "" if answer.refused else "unknown, "
        return f"{pod.MAY_NOT_ACT}: {doubt}{answer.text}"
    if answer.only is None:
        return pod.MAY_ACT
    if answer.done:
        return f"{pod.ENDED_BY_PROBE}: RunPod carried out an invalid {answer.only}"
    return pod.MAY_STOP if answer.only == "stop" else pod.MAY_DELETE


class Boot:
    """One boot of one pod."""

    def __init__(
        self, settings: PodSettings, env: Mapping[str, str], paths: Paths, system: System
    ) -> None:
        self.settings, self.paths, self.system = settings, paths, system
        self.environment = child_environment(env)
        self._env = env
        self._guard: Child | None = None
        self._sshd: Child | None = None
        self._checked_at = self._heartbeat_at = 0.0
        for folder in (paths.run, paths.root / pod.INBOX):
            folder.mkdir(parents=True, exist_ok=True)
        paths.secrets.mkdir(mode=0o700, exist_ok=True)
        before, now = boot_state.load(paths.root), system.now()
        again = before is not None and boot_state.started_again(paths.root, now)
        name = env.get("RUNPOD_POD_ID", "")
        self.state = boot_state.next_state(before, settings, pod=name, again=again, now=now)
        (paths.root / MARK).unlink(missing_ok=True)
        if before is not None and before.pod != name:
            # The volume comes from another pod: keep its checkpoints, drop its job and stop request.
            for old in (pod.JOB, f"{pod.INBOX}/{pod.JOB}", f"{pod.INBOX}/{pod.STOP}"):
                (paths.root / old).unlink(missing_ok=True)
        self.log = EventLog(paths.run / "events.jsonl", system.say)

    def open(self) -> None:
        """Start the guard first, then save the state of this boot."""
        self._start_guard()
        self.update_state()
        self._heartbeat()

    def close(self) -> None:
        """End the guard and sshd, and close the log."""
        for child in (self._sshd, self._guard):
            if child is not None:
                child.kill()
        self.log.close()

    def _start_guard(self) -> None:
        env = self.environment | {k: self._env[k] for k in GUARD_NEEDS if k in self._env}
        command = [sys.executable, "-P", "-m", "trainer.pod.release", "--at"]
        command += [str(self.state.hard_by), "--root", str(self.paths.root)]
        command += ["--on-deadline", self.settings.on_deadline]
        self._guard = self.system.start(command, env=env, cwd=self.paths.root)

    def open_ssh(self) -> None:
        """Start sshd and print its host key; without SSH, write a warning."""
        try:
            key = self.paths.sshd.prepare(
                self._env.get(pod.PUBLIC_KEY, ""), system=self.system, env=self.environment
            )
        except Fault as fault:
            self.warn(f"no SSH: {fault}")
            return
        self._start_sshd()
        self.system.say(pod.host_key_line(self.settings.run_id, self.state.boots, key))

    def _start_sshd(self) -> None:
        try:
            self._sshd = self.system.start(
                self.paths.sshd.command, env=self.environment, cwd=self.paths.root
            )
        except OSError as error:
            self._sshd = None
            self.warn(f"no SSH: {error}")

    def probe(self) -> None:
        """Ask RunPod's API whether this pod may stop and delete itself, and log the answer."""
        answer = self.system.probe()
        if not answer.may and not answer.refused:
            self.pause(PROBE_AGAIN)
            answer = self.system.probe()
        self.phase("probed", _rights(answer))

    def tick(self, seconds: float, child: Child | None = None) -> float:
        """``pause``, then return the time. Raises ``DeadlineReached``."""
        self.pause(seconds, child)
        now = self.system.now()
        if now >= self.state.hard_by - LEAD:
            raise DeadlineReached
        return now

    def pause(self, seconds: float, child: Child | None = None) -> None:
        """Wait; meanwhile keep heartbeat, log, sshd and guard going. Raises ``ContainerStopped``."""
        self.system.wait(seconds, child)
        if self.system.stop_asked:
            raise ContainerStopped
        now = self.system.now()
        if now - self._heartbeat_at >= boot_state.HEARTBEAT:
            self._heartbeat()
        if now - self._checked_at >= RESPAWN_EVERY:
            self._checked_at = now
            self.log.flush()
            if self._sshd and (code := self._sshd.poll()) is not None:
                self.warn(f"sshd ended with {code}: starting it again")
                self._start_sshd()
            over = now >= self.state.hard_by
            if not over and self._guard and self._guard.poll() is not None:
                self._start_guard()

    def sleep(self, seconds: float) -> None:
        """Pause, also after the deadline, while the pod waits to be stopped or deleted."""
        until = self.system.now() + seconds
        while (left := until - self.system.now()) > 0:
            self.pause(min(left, IDLE_POLL))

    def _heartbeat(self) -> None:
        self._heartbeat_at = self.system.now()
        with suppress(OSError):
            path = self.paths.root / boot_state.ALIVE
            path.touch()
            os.utime(path, (self._heartbeat_at, self._heartbeat_at))

    def update_state(self, **changes: object) -> None:
        """Change the state and write it to disk; a disk that refuses it is reported, not raised."""
        self.state = self.state.model_copy(update=changes)
        try:
            try:
                self.state.write(self.paths.root)
            except OSError as error:
                if not (is_no_space(error) and self.log.make_room()):
                    raise
                self.state.write(self.paths.root)
        except OSError as error:
            self.system.say(f"the state cannot be written: {error}")

    def phase(self, name: str, detail: str = "") -> None:
        self.log_event(events.Phase(name=name, detail=detail))

    def warn(self, message: str) -> None:
        self.log_event(events.Warning(message=message))

    def log_event(self, event: events.Phase | events.Warning) -> None:
        """Write ``event`` to the container's log and to the event log."""
        if isinstance(event, events.Phase):
            self.system.say(f"{event.name}: {event.detail}")
        else:
            self.system.say(f"warning: {event.message}")
        self.log.emit(event)

    def fail(self, fault: Fault) -> None:
        self.system.say(f"failed: {fault}")
        self.log.emit(events.Failed(cause=fault.cause, hint=fault.hint, exit_code=fault.exit_code))
