"""The pod's one job: picked up, trained, watched, started again or cut short, and its result saved."""

import signal
from collections.abc import Sequence
from pathlib import Path

from trainer import checkpoints
from trainer.contract import events, pod
from trainer.contract.command.errors import BadJob, Fault, Interrupted, NoSpace, TrainingFailed
from trainer.contract.job import Job
from trainer.pod.boot import Keeper
from trainer.pod.inbox import pick_up, restore
from trainer.pod.stall import Watch
from trainer.processes.child import Child
from trainer.result import best_checkpoint, evaluation

POLL = 0.2
GPU_EVERY = 30.0
EVALUATIONS = 2
EPISODES = "EPISODES"
AFTER_TROUBLE = 10.0
# For the trainer to reach the end of a step and save, at most, and less when time is short.
PATIENCE = 300.0
# A container that is stopped from outside has about ten seconds.
STOP_PATIENCE = 25.0
DEATHS = 2
STARTS = 4


class Training:
    """What is done with a job, once the pod is kept."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._settings = keeper.settings
        self._places = keeper.places
        self._outside = keeper.outside
        self._trainer: Child | None = None

    def kill(self) -> None:
        """End the trainer at once."""
        if self._trainer is not None:
            self._trainer.kill()

    def see_through(self) -> bool:
        """See the training through, to a result or to what can be saved; ``False`` without a job."""
        if self._keeper.state.over is not None:
            return True
        if self._complete():
            self._choose()
            self._evaluate()
            return True
        if not (self._places.root / pod.JOB).exists() and not self._wait_for_job():
            return False
        while (outcome := self._train_once()) is None:
            pass
        if outcome == "done":
            self._choose()
            self._evaluate()
        self._conclude(outcome)
        return True

    def _wait_for_job(self) -> bool:
        upload_by = self._keeper.state.first_boot + self._settings.upload_seconds
        until = min(upload_by, self._settings.finish_by)
        self._keeper.phase(
            "waiting", f"for {pod.INBOX}/{pod.JOB}, {until - self._outside.now():.0f} s"
        )
        while self._outside.now() < until:
            try:
                if (job := pick_up(self._places.root)) is not None:
                    self._keeper.phase("accepted", f"job {job.hash()[:12]}")
                    return True
            except BadJob as error:
                self._keeper.warn(f"the job was not accepted: {error}")
            except OSError as error:
                self._keeper.warn(f"the job cannot be read: {error}")
                self._keeper.tick(AFTER_TROUBLE)
            self._keeper.tick(POLL)
        self._keeper.warn("no job came in time")
        return False

    def _train_once(self) -> Fault | str | None:
        """Start the trainer and follow it.

        Return ``None`` when it is to be started again, the ``Fault`` for which we ended it, or how it
        ended itself: ``"done"``, ``"failed"``.
        """
        now = self._outside.now()
        if now >= self._settings.finish_by:
            return _late(None)
        if self._asked_to_stop():
            return _stopped()
        if self._keeper.state.starts >= STARTS:
            return TrainingFailed(
                f"restart loop: started {STARTS} times without a new checkpoint", "see train.log"
            )
        self._keeper.remember(starts=self._keeper.state.starts + 1)
        found = checkpoints.whole(self._places.run)
        child = self._start_trainer(*(["--resume"] if found else []))
        self._keeper.phase(
            "running", f"from step {found[-1][1].step}" if found else "from the beginning"
        )
        watch = Watch(self._settings.limits, loaded=self._keeper.state.loaded, now=now)
        failed = False
        gpu_at = now
        while True:
            # Before the last look at its pipe, or what it says as it ends is lost.
            code = child.poll()
            failed |= self._relay(child, watch)
            if code is not None:
                break
            now = self._keeper.tick(POLL, child)
            if now - gpu_at >= GPU_EVERY:
                gpu_at = now
                watch.note_gpu(self._outside.gpu_use(), now)
            if (fault := self._judge(watch, now)) is not None:
                self._cut(child, fault.cause, watch)
                return "done" if self._complete() else fault
        self._trainer = None
        child.kill()
        if code == 0 and self._complete():
            return "done"
        if failed:
            return "failed"
        return self._died(code)

    def _judge(self, watch: Watch, now: float) -> Fault | None:
        finish_by = self._settings.finish_by
        if watch.closing:
            # Better whole a little later than cut: half of the reserve is for this.
            finish_by += (self._keeper.state.hard_by - finish_by) / 2
        if now >= finish_by:
            return _late(watch.step)
        if self._asked_to_stop():
            return _stopped()
        reason = watch.verdict(now)
        return TrainingFailed(f"stalled: {reason}", "see train.log") if reason else None

    def _asked_to_stop(self) -> bool:
        return (self._places.root / pod.INBOX / pod.STOP).exists()

    def _died(self, code: int) -> Fault | None:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = ", perhaps for want of memory" if code == -signal.SIGKILL else ""
        cause = f"the trainer ended {how} without a word{hint}"
        self._keeper.remember(deaths=self._keeper.state.deaths + 1)
        if self._keeper.state.deaths > DEATHS:
            return TrainingFailed(f"{cause}, {self._keeper.state.deaths} times", "see train.log")
        self._keeper.warn(f"{cause}: starting it again")
        return None

    def _start_trainer(self, *arguments: str) -> Child:
        return self._start([*self._places.trainer, str(self._places.root / pod.JOB), *arguments])

    def _start(self, argv: Sequence[str]) -> Child:
        try:
            restore(self._places.root)
        except OSError as error:
            self._keeper.warn(f"the model cannot be put where it was: {error}")
        env = self._keeper.environment | {"HF_HOME": str(self._places.hf)}
        for name in pod.SECRET_NAMES:
            # A path, so that the secret itself is in no process's environment.
            if (self._places.secrets / name).exists():
                env[f"{name}_PATH"] = str(self._places.secrets / name)
        if self._keeper.state.loaded:
            # The weights are on the mount; a gated model's token may not be here any more.
            env["HF_HUB_OFFLINE"] = "1"
        self._trainer = self._outside.start(
            argv,
            env=env,
            cwd=self._places.root,
            log=self._places.run / evaluation.LOG,
            events=True,
        )
        return self._trainer

    def _relay(self, child: Child, watch: Watch, *, ending: bool = False) -> bool:
        """Write down what the trainer says; return whether it said that it failed."""
        failed = False
        for line in child.lines():
            if (event := events.parse(line)) is None:
                continue
            watch.note(event, self._outside.now())
            if isinstance(event, events.Failed):
                failed = True
                if ending:
                    # It reports being interrupted, by us: the reason has been told.
                    continue
                self._outside.say(f"failed: {event.cause}")
                if event.exit_code == NoSpace.exit_code:
                    self._keeper.log.make_room()
            self._keeper.log.emit(event)
            if isinstance(event, events.Phase) and event.name == "train":
                self._keeper.remember(loaded=True)
            if isinstance(event, events.Checkpoint):
                self._keeper.remember(starts=0)
        return failed

    def _cut(self, child: Child, why: str, watch: Watch) -> None:
        """End the trainer, with time to save a checkpoint."""
        self._keeper.phase("saving", why)
        child.ask()
        patience = min(PATIENCE, max((self._keeper.state.hard_by - self._outside.now()) / 3, 0.0))
        until = self._outside.now() + patience
        while child.poll() is None and self._outside.now() < until:
            self._relay(child, watch, ending=True)
            self._keeper.tick(POLL, child)
        self._relay(child, watch, ending=True)
        child.kill()
        self._trainer = None

    def _conclude(self, outcome: Fault | str) -> None:
        """Say what went wrong, and save what can be saved."""
        if isinstance(outcome, Fault):
            self._keeper.fail(outcome)
        if outcome != "done" and checkpoints.whole(self._places.run):
            self._salvage()
        self._keeper.remember(over=outcome if isinstance(outcome, str) else outcome.cause)

    def _choose(self) -> None:
        """Let the trainer choose among the checkpoints, if the job asks for it; at worst a warning.

        When the time is up while it is at that, the adapter that was there stays.
        """
        try:
            job = Job.from_json(self._places.root / pod.JOB)
            if not best_checkpoint.due(job, self._places.run):
                return
            if why := self._no_more(self._outside.now(), self._keeper.state.choices):
                self._keeper.warn(best_checkpoint.warning(why))
                return
            self._keeper.remember(choices=self._keeper.state.choices + 1)
            child = self._start_trainer("--choose")
            code, why = self._follow(child)
            if code is None:
                code = self._asked_to_end(child)
            child.kill()
            self._trainer = None
            if why or code:
                self._keeper.warn(
                    best_checkpoint.warning(why or f"exit code {code}, see {evaluation.LOG}")
                )
            if not self._complete():
                self._salvage()
        except (OSError, Fault) as error:
            self._keeper.warn(f"no checkpoint can be chosen: {error}")

    def _asked_to_end(self, child: Child) -> int | None:
        """Its exit code: it may be putting an adapter into its place, and is given the time for it."""
        child.ask()
        left = self._keeper.state.hard_by - self._outside.now()
        until = self._outside.now() + min(PATIENCE, max(left / 3, 0.0))
        while (code := child.poll()) is None and self._outside.now() < until:
            self._pass_on(child)
            self._keeper.tick(POLL, child)
        self._pass_on(child)
        return code

    def _evaluate(self) -> None:
        """Compare base and adapter, if the job asks for it and there is time; at worst a warning."""
        try:
            job = Job.from_json(self._places.root / pod.JOB)
            due = evaluation.due(job, self._places.run) and self._complete()
            if job.evaluate is None or not due:
                return
            if why := self._no_more(self._outside.now(), self._keeper.state.evaluations):
                self._keeper.tell(evaluation.warning(why, EPISODES))
                return
            self._keeper.remember(evaluations=self._keeper.state.evaluations + 1)
            self._keeper.phase(evaluation.PHASE, "base against adapter")
            self._follow_evaluation(job.evaluate)
        except (OSError, Fault) as error:
            self._keeper.warn(f"the evaluation cannot be run: {error}")

    def _no_more(self, now: float, begun: int) -> str:
        """Why what was ``begun`` so often is not to be, or not to go on."""
        if now >= self._settings.finish_by:
            return "the time is up: finish_by has passed"
        if self._asked_to_stop():
            return "stopped by hand"
        if begun >= EVALUATIONS:
            return f"begun {EVALUATIONS} times and never done"
        return ""

    def _follow_evaluation(self, episodes: str) -> None:
        run = self._places.run
        before = evaluation.size(run / evaluation.LOG)
        command = [*self._places.evaluator, *evaluation.arguments(Path(pod.RUN), episodes)]
        child = self._start(command)
        code, why = self._follow(child)
        child.kill()
        self._trainer = None
        if code is None:
            self._keeper.tell(evaluation.warning(why, EPISODES))
        else:
            self._keeper.tell(evaluation.told(run, code, EPISODES, log_from=before))

    def _follow(self, child: Child) -> tuple[int | None, str]:
        """Its exit code, or the reason for which it is to be ended."""
        begun, why = self._outside.now(), ""
        while True:
            code = child.poll()
            self._pass_on(child)
            if code is not None or why:
                return code, why
            now = self._keeper.tick(POLL, child)
            spent = now - begun
            late = f"not done after {spent:.0f} s" * (spent > self._settings.limits.evaluate)
            why = late or self._no_more(now, 0)

    def _pass_on(self, child: Child) -> None:
        for line in child.lines():
            if (event := events.parse(line)) is not None:
                self._keeper.log.emit(event)

    def _salvage(self) -> None:
        self._keeper.phase("saving", "the newest checkpoint")
        self._keeper.log.make_room_when_short()
        child = self._start_trainer("--salvage")
        watch = Watch(self._settings.limits, loaded=True, now=self._outside.now())
        until = self._outside.now() + self._settings.limits.load
        while (code := child.poll()) is None and self._outside.now() < until:
            self._relay(child, watch)
            self._keeper.tick(POLL, child)
        self._relay(child, watch)
        child.kill()
        self._trainer = None
        if code != 0:
            self._keeper.warn("the checkpoint could not be made a result: see train.log")

    def _complete(self) -> bool:
        try:
            return checkpoints.complete(self._places.run)
        except Fault:
            return False

    def end_politely(self) -> None:
        """Let the trainer save; the container is going, in seconds."""
        child = self._trainer
        if child is None:
            return
        child.ask()
        watch = Watch(self._settings.limits, loaded=True, now=self._outside.now())
        until = self._outside.now() + STOP_PATIENCE
        while child.poll() is None and self._outside.now() < until:
            self._relay(child, watch, ending=True)
            self._outside.wait(POLL, child)
        self._relay(child, watch, ending=True)


def _stopped() -> Interrupted:
    return Interrupted("stopped by hand", "go on with --resume")


def _late(step: int | None) -> TrainingFailed:
    where = "" if step is None else f" at step {step}"
    return TrainingFailed(
        f"the time is up{where}: finish_by has passed",
        "what was trained is saved; give it more with --max-cost or --max-hours",
    )
