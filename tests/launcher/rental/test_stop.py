"""`launch stop` while another launcher is at work on the run, in virtual time."""

import contextlib

import pytest

from launcher import stop
from launcher.follow import Detached
from launcher.runs import run_folder, status
from launcher.runs.journal import read
from trainer.contract.command.errors import Interrupted, Locked, TrainingFailed


@pytest.fixture
def run(project):
    return run_folder.Run("a", project / "runs" / "a")


def request_stop_at_step(account, world, step, stop_file):
    """Another terminal's `launch stop`, begun at that step."""

    def press():
        if any(machine.steps == step for machine in account.machines.values()):
            stop_file.touch()
        return False

    world.press = press


def test_a_launcher_that_watches_lets_go_and_the_stop_brings_home(run, account, world, view, begin):
    request_stop_at_step(account, world, 2, run.stop_request)
    with pytest.raises(Detached, match="from another terminal"):
        begin()
    assert account.alive(), "it has let go of the run, not of the pod"
    world.press = lambda: False
    # That is what the trainer of these tests says when it is asked to end.
    with pytest.raises(TrainingFailed, match="the time is up"):
        stop.stop("a", at_once=False, world=world, view=view)
    assert not run.stop_request.exists()
    assert not account.alive()
    assert (run.folder / "manifest.json").exists()
    done = [entry.what for entry in read(run.journal) if entry.stage == "done"]
    assert done[-4:] == ["fetch", "checkpoint", "verify", "release"]


def test_a_launcher_that_has_not_begun_to_train_lets_its_pod_go(run, account, world, view, begin):
    account.boot = lambda _: run.stop_request.touch()  # never comes up
    with pytest.raises(Interrupted, match="before training began"):
        begin()
    assert account.machines
    assert not account.alive()
    assert status.look(run).state == "interrupted"


def test_a_stop_at_work_lets_go_for_one_that_ends_at_once(run, account, world, view, begin):
    request_stop_at_step(account, world, 2, run.stop_request)
    with pytest.raises(Detached):
        begin()
    account.live = lambda _: None  # it never gets as far as to save
    world.press = lambda: False
    world.account.plans.append((account.time + 30, run.stop_now_request.touch))
    with pytest.raises(Detached):
        stop.stop("a", at_once=False, world=world, view=view)
    world.press = lambda: False
    with pytest.raises(Interrupted, match="nothing keeps running"):
        stop.stop("a", at_once=True, world=world, view=view)
    assert not account.alive()


def lets_go(other, stop_file):
    """What the launcher that holds the lock does at each tick."""

    def press():
        if stop_file.exists():
            other.close()
        return False

    return press


@pytest.fixture
def ended(run, account, world, begin):
    """A run whose launcher was asked while its pod came up, and that has ended it by itself."""
    account.boot = lambda _: run.stop_request.touch()
    with pytest.raises(Interrupted):
        begin()
    return run


def test_what_the_other_launcher_has_ended_itself_counts_as_stopped(ended, world, view):
    with contextlib.ExitStack() as other:
        other.enter_context(run_folder.hold(ended, world=world))
        world.press = lets_go(other, ended.stop_request)
        with pytest.raises(Interrupted, match=r"stopped: .*before training.*nothing keeps running"):
            stop.stop("a", at_once=False, world=world, view=view)
    assert any("asking it to exit" in line for line in view.lines)


def test_a_run_that_has_just_finished_is_told_so(run, world, view, begin):
    begin()
    with contextlib.ExitStack() as other:
        other.enter_context(run_folder.hold(run, world=world))
        world.press = lets_go(other, run.stop_request)
        assert stop.stop("a", at_once=False, world=world, view=view).manifest.complete


def test_a_launcher_that_does_not_answer_is_named_with_what_to_do(ended, world, view):
    with run_folder.hold(ended, world=world) as log:
        before, begun = list(log.entries), world.now()
        seen: list[bool] = []

        def press():
            seen.append(ended.stop_request.exists())
            return False

        world.press = press
        with pytest.raises(Locked, match="did not exit") as caught:
            stop.stop("a", at_once=True, world=world, view=view)
    assert stop.ANSWER <= world.now() - begun < stop.ANSWER + 1
    assert "launch stop a" in caught.value.hint
    assert all(seen[run_folder.LOCK_TRIES :])
    assert not ended.stop_request.exists()
    assert not ended.stop_now_request.exists()
    assert read(ended.journal) == before


def test_ctrl_c_ends_the_waiting_and_takes_the_request_back(ended, world, view):
    with run_folder.hold(ended, world=world):
        world.press = lambda: True
        with pytest.raises(Interrupted, match="the run continues"):
            stop.stop("a", at_once=False, world=world, view=view)
    assert not ended.stop_request.exists()


def test_a_request_left_behind_ends_nothing(run, world, begin):
    run.folder.mkdir(parents=True)
    run.stop_request.touch()
    assert begin().manifest.complete
