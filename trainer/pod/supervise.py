"""The pod's keeper: ``python -m trainer.pod.supervise``. Starts before anything else and ends with the pod.

One boot, in order: guard, door, probe, job, training, result, grace, release. Whatever happens, the pod
is let go when its time is up; a container that is restarted goes on where the last one was.
"""

import os
import traceback
from collections.abc import Mapping
from contextlib import suppress

from trainer.contract import events, pod
from trainer.contract.command.errors import BadJob, report
from trainer.contract.pod import PodSettings
from trainer.pod.boot import IDLE_POLL, Keeper, StoppedFromOutside, TimeIsUp
from trainer.pod.follow_training import Training
from trainer.pod.paths import Places
from trainer.pod.release import MANIFEST, MARK, Action, deadline_action, let_go
from trainer.pod.system import Outside, World

AFTER_CRASH = 30.0


def supervise(
    settings: PodSettings, env: Mapping[str, str], places: Places, outside: Outside
) -> None:
    """Keep the pod until it goes; return only when the container is told to stop."""
    keeper = Keeper(settings, env, places, outside)
    training = Training(keeper)
    try:
        keeper.open()
        action, reason = _live(keeper, training)
        _release(keeper, action, reason)
    except StoppedFromOutside:
        # The next boot is somebody's wish: it may have its grace.
        with suppress(OSError):
            (places.root / MARK).write_text("stopped", encoding="utf-8")
        training.end_politely()
    finally:
        training.kill()
        keeper.close()


def _live(keeper: Keeper, training: Training) -> tuple[Action, str]:
    """Return what to ask the API for in the end, and why."""
    try:
        keeper.open_door()
        keeper.phase("booted", f"boot {keeper.state.boots}")
        keeper.probe()
        if not training.see_through():
            return "terminate", pod.NO_JOB
        _wait_to_be_fetched(keeper)
    except TimeIsUp:
        training.kill()
        return deadline_action(keeper.places.run, keeper.settings.on_deadline), "deadline"
    return "stop", "not fetched within the grace"


def _wait_to_be_fetched(keeper: Keeper) -> None:
    now = keeper.outside.now()
    if keeper.state.ready_by is None:
        keeper.remember(ready_by=now + keeper.settings.grace_seconds)
    until = keeper.state.ready_by or now
    here = (keeper.places.run / MANIFEST).exists()
    what = "the result is here" if here else "there is no result"
    keeper.phase("ready", f"{what}; waiting {max(until - now, 0.0):.0f} s to be fetched")
    while keeper.outside.now() < until:
        keeper.tick(IDLE_POLL)


def _release(keeper: Keeper, action: Action, reason: str) -> None:
    keeper.phase("released", f"{action}: {reason}")
    let_go(
        action,
        act=keeper.outside.act,
        mark=keeper.places.root / MARK,
        say=keeper.warn,
        sleep=keeper.sleep,
        accepted=lambda: keeper.log.emit(events.Released(reason=reason)),
    )


def keep(settings: PodSettings, env: Mapping[str, str], places: Places, outside: Outside) -> None:
    """Supervise; survive faults of our own, and hold the last instant even then.

    Returns when the container is told to stop.
    """
    while not outside.stop_asked:
        try:
            supervise(settings, env, places, outside)
        except Exception:  # noqa: BLE001 - PID 1's child must not end
            outside.say(traceback.format_exc())
            left = settings.gone_by - outside.now()
            if left <= 0:
                _let_go_blindly(outside)
            outside.wait(min(left, AFTER_CRASH))


def _let_go_blindly(outside: Outside) -> None:
    """Stop the pod without a run to speak of."""

    def sleep(seconds: float) -> None:
        until = outside.now() + seconds
        while (left := until - outside.now()) > 0:
            outside.wait(left)
            if outside.stop_asked:
                raise StoppedFromOutside

    with suppress(StoppedFromOutside):
        let_go("stop", act=outside.act, mark=None, say=outside.say, sleep=sleep)


def main() -> None:
    """Keep the pod that the environment describes."""
    env = dict(os.environ)
    outside = World(env)
    try:
        settings = PodSettings.from_env(env)
    except BadJob as fault:
        # Without instants there is nothing to wait for, and nothing here to lose.
        outside.say(report(fault))
        _let_go_blindly(outside)
        return
    keep(settings, env, Places.of_pod(settings.run_id), outside)


if __name__ == "__main__":
    main()
