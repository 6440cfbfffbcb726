"""The pod itself: its guard, its door, its memory, and time passing in it."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress

from trainer.contract import events, pod
from trainer.contract.command.errors import Fault, is_no_space
from trainer.contract.pod import PodSettings
from trainer.pod import boot_state
from trainer.pod.event_log import EventLog
from trainer.pod.paths import Places, child_environment
from trainer.pod.release import MARK
from trainer.pod.system import Outside
from trainer.processes.child import Child

IDLE_POLL = 1.0
PROBE_AGAIN = 5.0
RESPAWN_EVERY = 5.0
# We act this long before the guard does, so that the release is an event too.
LEAD = 5.0
GUARD_NEEDS = ("RUNPOD_API_KEY", "RUNPOD_POD_ID", "RUNPOD_API_BASE_URL")


class TimeIsUp(Exception):  # noqa: N818 - not an error
    """The pod must go now."""


class StoppedFromOutside(Exception):  # noqa: N818 - not an error
    """The container was told to stop."""


class Keeper:
    """One boot of one pod."""

    def __init__(
        self, settings: PodSettings, env: Mapping[str, str], places: Places, outside: Outside
    ) -> None:
        self.settings = settings
        self.places = places
        self.outside = outside
        self.environment = child_environment(env)
        self._env = env
        self._guard: Child | None = None
        self._sshd: Child | None = None
        self._kept_at = self._beat_at = 0.0
        for folder in (places.run, places.root / pod.INBOX):
            folder.mkdir(parents=True, exist_ok=True)
        places.secrets.mkdir(mode=0o700, exist_ok=True)
        before, now = boot_state.load(places.root), outside.now()
        again = before is not None and boot_state.started_again(places.root, now)
        name = env.get("RUNPOD_POD_ID", "")
        self.state = boot_state.boot(before, settings, pod=name, again=again, now=now)
        (places.root / MARK).unlink(missing_ok=True)
        if before is not None and before.pod != name:
            # A volume from another pod: its checkpoints count, what it was told does not.
            for told in (pod.JOB, f"{pod.INBOX}/{pod.JOB}", f"{pod.INBOX}/{pod.STOP}"):
                (places.root / told).unlink(missing_ok=True)
        self.log = EventLog(places.run / "events.jsonl", outside.say)

    def open(self) -> None:
        """Start the guard before all else, then remember this boot."""
        self._start_guard()
        self.remember()
        self._beat()

    def close(self) -> None:
        """End what was started."""
        for child in (self._sshd, self._guard):
            if child is not None:
                child.kill()
        self.log.close()

    def _start_guard(self) -> None:
        env = self.environment | {k: self._env[k] for k in GUARD_NEEDS if k in self._env}
        command = [
            sys.executable,
            "-P",
            "-m",
            "trainer.pod.release",
            "--at",
            str(self.state.hard_by),
        ]
        command += ["--root", str(self.places.root), "--on-deadline", self.settings.on_deadline]
        self._guard = self.outside.start(command, env=env, cwd=self.places.root)

    def open_door(self) -> None:
        try:
            key = self.places.door.prepare(
                self._env.get(pod.PUBLIC_KEY, ""), outside=self.outside, env=self.environment
            )
        except Fault as fault:
            self.warn(f"no SSH: {fault}")
            return
        self._start_sshd()
        self.outside.say(pod.host_key_line(self.settings.run_id, self.state.boots, key))

    def _start_sshd(self) -> None:
        try:
            self._sshd = self.outside.start(
                self.places.door.command, env=self.environment, cwd=self.places.root
            )
        except OSError as error:
            self._sshd = None
            self.warn(f"no SSH: {error}")

    def probe(self) -> None:
        """Say whether the guard inside this pod stands."""
        answer = self.outside.probe()
        if not answer.may and not answer.refused:
            self.nap(PROBE_AGAIN)
            answer = self.outside.probe()
        doubt = "" if answer.refused else "not known, "
        self.phase(
            "probed", pod.MAY_ACT if answer.may else f"{pod.MAY_NOT_ACT}: {doubt}{answer.text}"
        )

    def tick(self, seconds: float, child: Child | None = None) -> float:
        """Let time pass and keep the pod in order; return the time. Raises when it must end."""
        self.nap(seconds, child)
        now = self.outside.now()
        if now >= self.state.hard_by - LEAD:
            raise TimeIsUp
        return now

    def nap(self, seconds: float, child: Child | None = None) -> None:
        self.outside.wait(seconds, child)
        if self.outside.stop_asked:
            raise StoppedFromOutside
        now = self.outside.now()
        if now - self._beat_at >= boot_state.HEARTBEAT:
            self._beat()
        if now - self._kept_at >= RESPAWN_EVERY:
            self._kept_at = now
            self.log.flush()
            if self._sshd and (code := self._sshd.poll()) is not None:
                self.warn(f"sshd ended with {code}: starting it again")
                self._start_sshd()
            over = now >= self.state.hard_by
            if not over and self._guard and self._guard.poll() is not None:
                self._start_guard()

    def sleep(self, seconds: float) -> None:
        """Sleep although the time is up: for one who waits to be gone."""
        until = self.outside.now() + seconds
        while (left := until - self.outside.now()) > 0:
            self.nap(min(left, IDLE_POLL))

    def _beat(self) -> None:
        self._beat_at = self.outside.now()
        with suppress(OSError):
            path = self.places.root / boot_state.ALIVE
            path.touch()
            os.utime(path, (self._beat_at, self._beat_at))

    def remember(self, **changes: object) -> None:
        self.state = self.state.but(**changes)
        try:
            try:
                self.state.write(self.places.root)
            except OSError as error:
                if not (is_no_space(error) and self.log.make_room()):
                    raise
                self.state.write(self.places.root)
        except OSError as error:
            self.outside.say(f"the state cannot be kept: {error}")

    def phase(self, name: str, detail: str = "") -> None:
        self.tell(events.Phase(name=name, detail=detail))

    def warn(self, message: str) -> None:
        self.tell(events.Warning(message=message))

    def tell(self, event: events.Phase | events.Warning) -> None:
        """Say it in the container's log, and write it down."""
        if isinstance(event, events.Phase):
            self.outside.say(f"{event.name}: {event.detail}")
        else:
            self.outside.say(f"warning: {event.message}")
        self.log.emit(event)

    def fail(self, fault: Fault) -> None:
        self.outside.say(f"failed: {fault}")
        self.log.emit(events.Failed(cause=fault.cause, hint=fault.hint, exit_code=fault.exit_code))
