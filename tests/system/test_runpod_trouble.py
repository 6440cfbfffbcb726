"""What goes wrong in the pod or beside it: full disk, a trainer that hangs, two launchers."""

import pytest

from launcher.errors import PodFailed, PodRefused
from tests.system.client import until
from tests.system.emulator import faults
from tests.system.story import rows
from trainer.contract import events
from trainer.contract.command.errors import (
    Interrupted,
    Locked,
    NoSpace,
    OutputExists,
    TrainingFailed,
)

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

# After 147 s it would save of itself, after 201 s it must be gone.
HOURS = 0.06
HASTE = {
    "launcher.quote.run_cost.SHORTEST": 30,
    "launcher.quote.run_cost.SLACK": 15,
    "trainer.contract.pod.Limits.no_step": 8,
}
HANG = "kill -STOP $(grep -l 'r1/job[.]json' /proc/[0-9]*/cmdline | cut -d/ -f3)"


def assert_newest_checkpoint_is_home(laptop):
    proof = laptop.result("r1")
    assert not proof.complete
    saved = [one.step for one in laptop.events("r1") if isinstance(one, events.Checkpoint)]
    assert proof.metrics["steps"] == saved[-1]


def test_a_disk_that_is_full_before_training_says_so(story, runpod, tmp_path):
    (tmp_path / "rows.jsonl").write_text(rows(20, answer="x" * 100_000))
    runpod.script(faults.SmallVolume(megabytes=1))
    story.ledger(
        story.train(),
        code=PodRefused.exit_code,
        says=["No space left on device", "--mount"],
        adapter="none",
    )


def test_a_disk_that_fills_up_costs_no_step_that_was_saved(story, runpod, laptop):
    runpod.script(faults.SmallVolume(megabytes=4))
    story.ledger(
        story.train("--set", "checkpoint.steps=5", steps=100),
        code=NoSpace.exit_code,
        says=["the disk is full", "launch train --resume r1 --mount"],
    )
    assert_newest_checkpoint_is_home(laptop)


def test_a_run_that_stalls_is_saved_fetched_and_let_go(story, runpod, engine, laptop):
    work = story.train("--set", "checkpoint.steps=5", steps=100_000, hours=HOURS, altered=HASTE)
    until(lambda: laptop.steps("r1")[-1:] > [20], seconds=180)
    pod = runpod.pods.only()
    container = engine.client.containers.get(f"runpod-{pod.id}")
    code, said = container.exec_run(["sh", "-c", HANG])
    assert code == 0, said
    story.ledger(work, code=TrainingFailed.exit_code, says=["stalled: no step for"], hours=HOURS)
    assert_newest_checkpoint_is_home(laptop)


def test_a_pod_in_error_is_named_and_stop_brings_home_what_it_saved(story, runpod, laptop):
    """RunPod allows only start and terminate in ERROR, as does the emulator."""
    runpod.script(faults.Broken(after=45))
    work = story.train("--set", "checkpoint.steps=5", steps=100_000)
    assert work.ended() == PodFailed.exit_code, work.said
    for text in ("is in state ERROR", "launch fetch r1", "launch stop r1 --now"):
        assert text in work.said, work.said
    assert runpod.pods.only().status == "ERROR"
    stopping = laptop.launch("stop", "r1")
    story.ledger(stopping, says=["saved at step", "nothing keeps running"])
    assert_newest_checkpoint_is_home(laptop)


def test_of_two_launchers_one_works_and_one_watches(story, runpod, laptop):
    first = story.train(steps=60)
    until(lambda: laptop.steps("r1"), seconds=180)
    begun = [
        (laptop.launch("attach", "r1"), Locked),
        (laptop.launch("train", "--resume", "r1"), Locked),
        (story.train(), OutputExists),
    ]
    for second, fault in begun:
        assert second.ended() == fault.exit_code, second.said
    watching = laptop.launch("logs", "-f", "r1")
    story.ledger(first)
    assert watching.ended() == 0
    assert "step 60/60" in watching.said
    story.whole(steps=60)
    assert story.created() == [201]


def test_stop_from_a_second_terminal_saves_brings_home_and_lets_go(story, laptop):
    watching = story.train(steps=100_000)
    until(lambda: laptop.steps("r1")[-1:] > [20], seconds=180)
    stopping = laptop.launch("stop", "r1")
    story.ledger(stopping, says=["asking it to exit", "saved at step", "nothing keeps running"])
    assert watching.ended() == Interrupted.exit_code
    assert "run r1 is being stopped from another terminal" in watching.said
    assert_newest_checkpoint_is_home(laptop)
    assert laptop.journalled("r1", "release", "done")
    assert story.created() == [201]


def test_stop_while_another_launcher_brings_the_pod_up_lets_it_go(story, laptop):
    starting = story.train()
    until(lambda: laptop.journalled("r1", "rent", "done"), seconds=180)
    stopping = laptop.launch("stop", "r1")
    story.ledger(stopping, says=["nothing keeps running"], adapter="none")
    assert starting.ended() == Interrupted.exit_code, starting.said


def test_of_two_launchers_that_carry_on_one_does(story, runpod, laptop):
    work = story.train()
    until(lambda: laptop.journalled("r1", "rent", "done"))
    work.kill()
    both = [laptop.launch("attach", "r1") for _ in range(2)]
    codes = {one.ended(): one for one in both}
    assert sorted(codes) == [0, Locked.exit_code], [one.said for one in both]
    assert "is running in" in codes[Locked.exit_code].said
    story.ledger(codes[0])
    story.whole()
    assert story.created() == [201]
