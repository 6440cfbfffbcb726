"""Nobody looks after the pod: no job comes, or the laptop is gone until after the end."""

import pytest

from launcher.errors import PodFailed
from tests.system.client import until
from trainer.contract.errors import NotFound, TrainingFailed

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

# Its share for saving is large, lest a busy machine be too slow: half of about two minutes.
HOURS = 0.04
HASTE = {
    "launcher.plan.SHORTEST": 30,
    "launcher.plan.SLACK": 15,
    "launcher.plan.RESERVED": 0.5,
}


def gone(laptop, work) -> None:
    """The laptop is switched off: no launcher, no guard."""
    work.kill()
    laptop.close()


def test_a_pod_whose_job_never_comes_deletes_itself(story, runpod, laptop):
    haste = {"trainer.contract.pod.PodSettings.upload_seconds": 10}
    work = story.train(altered={**haste, "kill": [4, "after"]})
    until(lambda: not work.running())
    assert laptop.journal("r1")[-1]["what"] == "rent"
    assert laptop.guards() == []
    pod = runpod.pods.only()
    until(lambda: pod.status == "TERMINATED", seconds=180)
    assert "released: terminate: no-job" in pod.log.texts("container")
    story.ledger(
        laptop.launch("attach", "r1"),
        code=NotFound.exit_code,
        says=["its pod is gone", "launch train --resume r1"],
        adapter="none",
        hours=60 / 3600,
    )


def test_what_is_finished_waits_on_a_stopped_pod(story, runpod, laptop):
    """Waits out the grace, of which a minute is the least."""
    work = story.train()
    until(lambda: laptop.steps("r1"), seconds=180)
    gone(laptop, work)
    pod = runpod.pods.only()
    until(lambda: pod.status == "EXITED", seconds=150)
    story.ledger(laptop.launch("attach", "r1"), code=PodFailed.exit_code, adapter="stopped pod")
    assert len(runpod.pods) == 1
    story.ledger(laptop.launch("fetch", "r1"))
    story.whole()


def test_what_was_trained_until_the_deadline_waits_on_a_stopped_pod(story, runpod, laptop):
    work = story.train("--set", "checkpoint.minutes=0.1", steps=100_000, hours=HOURS, altered=HASTE)
    until(lambda: laptop.steps("r1"), seconds=180)
    gone(laptop, work)
    pod = runpod.pods.only()
    until(lambda: pod.status == "EXITED", seconds=HOURS * 3600 + 30)
    story.ledger(
        laptop.launch("attach", "r1"),
        code=PodFailed.exit_code,
        adapter="stopped pod",
        hours=HOURS,
    )
    story.ledger(
        laptop.launch("fetch", "r1"),
        code=TrainingFailed.exit_code,
        says=["finish_by has passed", "what was trained until then is in"],
        hours=HOURS + 60 / 3600,
    )
    proof = laptop.result("r1")
    assert not proof.complete
    assert 0 < proof.metrics["steps"] < 100_000
