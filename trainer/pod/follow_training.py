"""The pod's training: accept the job, start the trainer, watch it, restart or end it, and save the result."""

import signal
from collections.abc import Sequence
from pathlib import Path

from trainer import checkpoints
from trainer.contract import events, pod
from trainer.contract.command.errors import BadJob, Fault, Interrupted, NoSpace, TrainingFailed
from trainer.contract.job import Job
from trainer.pod.boot import Boot
from trainer.pod.inbox import link_model, take_job
from trainer.pod.stall import StallDetector
from trainer.processes.child import Child
from trainer.result import best_checkpoint, evaluation

POLL = 0.2
GPU_EVERY = 30.0
EVALUATIONS = 2
EPISODES = "EPISODES"
AFTER_TROUBLE = 10.0
# The trainer may take this long to end its step and save; less when the deadline is near.
SAVE_SECONDS = 300.0
# A container that is stopped has about ten seconds.
STOP_SECONDS = 25.0
DEATHS = 2
STARTS = 4


class Training:
    """What one boot does with the job: training, choice of a checkpoint, evaluation."""

    def __init__(self, boot: Boot) -> None:
        self._boot, self._system = boot, boot.system
        self._settings, self._paths = boot.settings, boot.paths
        self._child: Child | None = None

    def kill(self) -> None:
        """Kill the child that runs, if any."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def run_to_end(self) -> bool:
        """Train until there is a result, or what can be saved of it; False if no job came."""
        if self._boot.state.over is not None:
            return True
        if self._complete():
            self._choose()
            self._evaluate()
            return True
        if not (self._paths.root / pod.JOB).exists() and not self._wait_for_job():
            return False
        while (outcome := self._train_once()) is None:
            pass
        if outcome == "done":
            self._choose()
            self._evaluate()
        if isinstance(outcome, Fault):
            self._boot.fail(outcome)
        if outcome != "done" and checkpoints.whole(self._paths.run):
            self._save_newest_checkpoint()
        self._boot.update_state(over=outcome if isinstance(outcome, str) else outcome.cause)
        return True

    def _wait_for_job(self) -> bool:
        upload_by = self._boot.state.first_boot + self._settings.upload_seconds
        until = min(upload_by, self._settings.finish_by)
        left = f"{until - self._system.now():.0f} s"
        self._boot.phase("waiting", f"for {pod.INBOX}/{pod.JOB}, {left}")
        while self._system.now() < until:
            try:
                if (job := take_job(self._paths.root)) is not None:
                    self._boot.phase("accepted", f"job {job.hash()[:12]}")
                    return True
            except BadJob as error:
                self._boot.warn(f"the job was not accepted: {error}")
            except OSError as error:
                self._boot.warn(f"the job cannot be read: {error}")
                self._boot.tick(AFTER_TROUBLE)
            self._boot.tick(POLL)
        self._boot.warn("no job came in time")
        return False

    def _train_once(self) -> Fault | str | None:
        """Start the trainer and follow it.

        Return None if it must start again, the ``Fault`` for which the supervisor ended it, or how it ended
        by itself: ``"done"``, ``"failed"``.
        """
        now = self._system.now()
        if now >= self._settings.finish_by:
            return _late(None)
        if self._stop_requested():
            return _stopped()
        if self._boot.state.starts >= STARTS:
            return TrainingFailed(
                f"restart loop: started {STARTS} times without a new checkpoint", "see train.log"
            )
        self._boot.update_state(starts=self._boot.state.starts + 1)
        found = checkpoints.whole(self._paths.run)
        child = self._start_trainer(*(["--resume"] if found else []))
        self._boot.phase(
            "running", f"from step {found[-1][1].step}" if found else "from the beginning"
        )
        stall = StallDetector(self._settings.limits, loaded=self._boot.state.loaded, now=now)
        failed = False
        gpu_at = now
        while True:
            # The exit code first: events that the trainer wrote before it ended are read after it.
            code = child.poll()
            failed |= self._forward_events(child, stall)
            if code is not None:
                break
            now = self._boot.tick(POLL, child)
            if now - gpu_at >= GPU_EVERY:
                gpu_at = now
                stall.note_gpu(self._system.gpu_use(), now)
            if (fault := self._reason_to_end(stall, now)) is not None:
                self._boot.phase("saving", fault.cause)
                self._end(child)
                return "done" if self._complete() else fault
        self.kill()
        if code == 0 and self._complete():
            return "done"
        return "failed" if failed else self._died(code)

    def _reason_to_end(self, stall: StallDetector, now: float) -> Fault | None:
        finish_by = self._settings.finish_by
        if stall.closing:
            # A whole result a little later is better: saving may use half of the reserve.
            finish_by += (self._boot.state.hard_by - finish_by) / 2
        if now >= finish_by:
            return _late(stall.step)
        if self._stop_requested():
            return _stopped()
        reason = stall.reason(now)
        return TrainingFailed(f"stalled: {reason}", "see train.log") if reason else None

    def _stop_requested(self) -> bool:
        return (self._paths.root / pod.INBOX / pod.STOP).exists()

    def _died(self, code: int) -> Fault | None:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = ", possibly out of memory" if code == -signal.SIGKILL else ""
        cause = f"the trainer ended {how} without an error message{hint}"
        self._boot.update_state(deaths=self._boot.state.deaths + 1)
        if self._boot.state.deaths > DEATHS:
            return TrainingFailed(f"{cause}, {self._boot.state.deaths} times", "see train.log")
        self._boot.warn(f"{cause}: starting it again")
        return None

    def _start_trainer(self, *arguments: str) -> Child:
        return self._start([*self._paths.trainer, str(self._paths.root / pod.JOB), *arguments])

    def _start(self, argv: Sequence[str]) -> Child:
        try:
            link_model(self._paths.root)
        except OSError as error:
            self._boot.warn(f"the model cannot be linked to its path: {error}")
        env = self._boot.environment | {"HF_HOME": str(self._paths.hf)}
        for name in pod.SECRET_NAMES:
            # A path, so that the secret itself is in no process's environment.
            if (self._paths.secrets / name).exists():
                env[f"{name}_PATH"] = str(self._paths.secrets / name)
        if self._boot.state.loaded:
            # The weights are on the mount; the token for a gated model may be gone.
            env["HF_HUB_OFFLINE"] = "1"
        log = self._paths.run / evaluation.LOG
        self._child = self._system.start(argv, env=env, cwd=self._paths.root, log=log, events=True)
        return self._child

    def _forward_events(
        self, child: Child, stall: StallDetector | None = None, *, ending: bool = False
    ) -> bool:
        """Write the child's new events to the log; say whether it reported a failure.

        While the supervisor is ``ending`` the child, its report of the interruption is left out.
        """
        failed = False
        for event in filter(None, map(events.parse, child.lines())):
            if stall is not None:
                stall.note(event, self._system.now())
            if isinstance(event, events.Failed):
                failed = True
                if ending:
                    continue
                self._system.say(f"failed: {event.cause}")
                if event.exit_code == NoSpace.exit_code:
                    self._boot.log.make_room()
            self._boot.log.emit(event)
            if isinstance(event, events.Phase) and event.name == "train":
                self._boot.update_state(loaded=True)
            if isinstance(event, events.Checkpoint):
                self._boot.update_state(starts=0)
        return failed

    def _follow(self, child: Child, seconds: float, *, ending: bool = False) -> int | None:
        """Forward the child's events for ``seconds`` at most; return its exit code, None if it still runs."""
        until = self._system.now() + seconds
        while (code := child.poll()) is None and self._system.now() < until:
            self._forward_events(child, ending=ending)
            self._boot.tick(POLL, child)
        self._forward_events(child, ending=ending)
        return code

    def _end(self, child: Child) -> int | None:
        """Ask the child to end, give it time to save, then kill it; return its exit code."""
        child.terminate()
        left = self._boot.state.hard_by - self._system.now()
        code = self._follow(child, min(SAVE_SECONDS, max(left / 3, 0.0)), ending=True)
        self.kill()
        return code

    def _choose(self) -> None:
        """Let the trainer choose among the checkpoints, if the job wants it.

        A failure is a warning, and the deadline leaves the adapter that was there.
        """
        try:
            job = Job.from_json(self._paths.root / pod.JOB)
            if not best_checkpoint.due(job, self._paths.run):
                return
            if why := self._why_not(self._boot.state.choices):
                self._boot.warn(best_checkpoint.warning(why))
                return
            self._boot.update_state(choices=self._boot.state.choices + 1)
            child = self._start_trainer("--choose")
            code, why = self._follow_within_limit(child)
            if code is None:
                code = self._end(child)
            self.kill()
            if why or code:
                why = why or f"exit code {code}, see {evaluation.LOG}"
                self._boot.warn(best_checkpoint.warning(why))
            if not self._complete():
                self._save_newest_checkpoint()
        except (OSError, Fault) as error:
            self._boot.warn(f"no checkpoint can be chosen: {error}")

    def _evaluate(self) -> None:
        """Compare base and adapter, if the job wants it and there is time; a failure is a warning."""
        run = self._paths.run
        try:
            job = Job.from_json(self._paths.root / pod.JOB)
            due = evaluation.due(job, run) and self._complete()
            if job.evaluate is None or not due:
                return
            if why := self._why_not(self._boot.state.evaluations):
                self._boot.log_event(evaluation.warning(why, EPISODES))
                return
            self._boot.update_state(evaluations=self._boot.state.evaluations + 1)
            self._boot.phase(evaluation.PHASE, "base against adapter")
            before = evaluation.size(run / evaluation.LOG)
            arguments = evaluation.arguments(Path(pod.RUN), job.evaluate)
            code, why = self._follow_within_limit(self._start([*self._paths.evaluator, *arguments]))
            self.kill()
            if code is None:
                self._boot.log_event(evaluation.warning(why, EPISODES))
            else:
                self._boot.log_event(evaluation.outcome(run, code, EPISODES, log_from=before))
        except (OSError, Fault) as error:
            self._boot.warn(f"the evaluation cannot be run: {error}")

    def _why_not(self, started: int = 0) -> str:
        """Return why a step that was ``started`` so many times must not start or continue; else empty."""
        if self._system.now() >= self._settings.finish_by:
            return "the time is up: the save-by deadline has passed"
        if self._stop_requested():
            return "stopped by the user"
        return f"started {started} times without finishing" if started >= EVALUATIONS else ""

    def _follow_within_limit(self, child: Child) -> tuple[int | None, str]:
        """Return the child's exit code, or None and the reason to end it."""
        started, why = self._system.now(), ""
        while True:
            code = child.poll()
            self._forward_events(child)
            if code is not None or why:
                return code, why
            spent = self._boot.tick(POLL, child) - started
            late = f"not done after {spent:.0f} s" * (spent > self._settings.limits.evaluate)
            why = late or self._why_not()

    def _save_newest_checkpoint(self) -> None:
        self._boot.phase("saving", "the newest checkpoint")
        self._boot.log.make_room_when_short()
        child = self._start_trainer("--from-checkpoint")
        code = self._follow(child, self._settings.limits.load)
        self.kill()
        if code != 0:
            self._boot.warn("the checkpoint could not be made a result: see train.log")

    def _complete(self) -> bool:
        try:
            return checkpoints.complete(self._paths.run)
        except Fault:
            return False

    def save_and_end(self) -> None:
        """Let the trainer save, in the few seconds before the container ends."""
        if (child := self._child) is None:
            return
        child.terminate()
        until = self._system.now() + STOP_SECONDS
        while child.poll() is None and self._system.now() < until:
            self._forward_events(child, ending=True)
            self._system.wait(POLL, child)
        self._forward_events(child, ending=True)


def _stopped() -> Interrupted:
    return Interrupted("stopped by the user", "continue with --resume")


def _late(step: int | None) -> TrainingFailed:
    where = "" if step is None else f" at step {step}"
    return TrainingFailed(
        f"the time is up{where}: the save-by deadline has passed",
        "what was trained is saved; give more time or money with --max-hours or --max-cost",
    )
