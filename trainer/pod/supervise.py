"""The pod's supervisor, ``python -m trainer.pod.supervise``: starts before anything else, ends with the pod.

One boot, in order: guard, SSH, probe, job, training, result, grace, stop or delete. At its deadline the pod
stops or deletes itself in every case; a container that restarts continues where the last one ended.
"""

import os
import traceback
from collections.abc import Mapping
from contextlib import suppress

from trainer.contract import events, pod
from trainer.contract.command.errors import BadJob, report
from trainer.contract.pod import PodSettings
from trainer.pod.boot import IDLE_POLL, Boot, ContainerStopped, DeadlineReached
from trainer.pod.follow_training import Training
from trainer.pod.paths import Paths
from trainer.pod.release import MANIFEST, MARK, Action, deadline_action, stop_or_delete
from trainer.pod.system import System

AFTER_CRASH = 30.0
# After the last sign of a download, so that a link that broke can be connected again.
AFTER_DOWNLOAD = 60.0
DEADLINE = "deadline"


def run_boot(settings: PodSettings, env: Mapping[str, str], paths: Paths, system: System) -> None:
    """Run one boot until the pod stops; return only when the container gets a signal to stop."""
    boot = Boot(settings, env, paths, system)
    training = Training(boot)
    try:
        boot.open()
        action, reason = _train_and_wait(boot, training)
        boot.phase("released", f"{action}: {reason}")
        stop_or_delete(
            action,
            act=system.act,
            mark=paths.root / MARK,
            say=boot.warn,
            sleep=boot.sleep,
            at_deadline=reason == DEADLINE,
            accepted=lambda: boot.log.emit(events.Released(reason=reason)),
        )
    except ContainerStopped:
        # A user starts the next boot, so that it gets a new grace.
        with suppress(OSError):
            (paths.root / MARK).write_text("stopped", encoding="utf-8")
        training.save_and_end()
    finally:
        training.kill()
        boot.close()


def _train_and_wait(boot: Boot, training: Training) -> tuple[Action, str]:
    """Return what the pod then requests from the API, and why."""
    try:
        boot.open_ssh()
        boot.phase("booted", f"boot {boot.state.boots}")
        boot.probe()
        if not training.run_to_end():
            return "terminate", pod.NO_JOB
        _wait_for_download(boot)
    except DeadlineReached:
        training.kill()
        return deadline_action(boot.paths.run, boot.settings.on_deadline), DEADLINE
    return "stop", "not downloaded within the grace"


def _wait_for_download(boot: Boot) -> None:
    """Wait for the grace, and longer while a download is running. Raises ``DeadlineReached``."""
    now = boot.system.now()
    if boot.state.ready_by is None:
        boot.update_state(ready_by=now + boot.settings.grace_seconds)
    until = boot.state.ready_by or now
    exists = (boot.paths.run / MANIFEST).exists()
    what = "the result is ready" if exists else "the run has no result"
    boot.phase("ready", f"{what}; waiting {max(until - now, 0.0):.0f} s for the download")
    grace_over, told = until, False
    while (now := boot.system.now()) < until:
        if boot.system.download_is_running(boot.paths.sshd.port):
            until = max(until, now + AFTER_DOWNLOAD)
        if now >= grace_over and not told:
            told = True
            boot.system.say("the grace is over and a download is running: waiting for its end")
        boot.tick(IDLE_POLL)


def supervise(settings: PodSettings, env: Mapping[str, str], paths: Paths, system: System) -> None:
    """Run boots, also after an internal error, and stop the pod at its deadline in every case.

    Returns when the container gets a signal to stop.
    """
    while not system.stop_asked:
        try:
            run_boot(settings, env, paths, system)
        except Exception:  # noqa: BLE001 - PID 1's child must not end
            system.say(traceback.format_exc())
            left = settings.gone_by - system.now()
            if left <= 0:
                _stop_pod(system)
            system.wait(min(left, AFTER_CRASH))


def _stop_pod(system: System) -> None:
    """Stop the pod without a run folder, an event log or a mark."""

    def sleep(seconds: float) -> None:
        until = system.now() + seconds
        while (left := until - system.now()) > 0:
            system.wait(left)
            if system.stop_asked:
                raise ContainerStopped

    with suppress(ContainerStopped):
        stop_or_delete(
            "stop", act=system.act, mark=None, say=system.say, sleep=sleep, at_deadline=True
        )


def main() -> None:
    """Supervise the pod that the environment describes."""
    env = dict(os.environ)
    system = System(env)
    try:
        settings = PodSettings.from_env(env)
    except BadJob as fault:
        # Without deadlines nothing can be waited for, and the pod holds nothing to lose.
        system.say(report(fault))
        _stop_pod(system)
        return
    supervise(settings, env, Paths.of_pod(settings.run_id), system)


if __name__ == "__main__":
    main()
