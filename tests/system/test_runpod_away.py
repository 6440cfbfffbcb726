"""Nobody looks after the pod: no job comes, or the laptop is gone until after the end."""

from functools import partial

import pytest

from launcher.errors import PodFailed
from tests.system.client import until
from tests.system.story import FETCHING
from tests.system.story import HOURS as USUAL
from trainer.contract.command.errors import NotFound, TrainingFailed

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

# Half of three minutes to begin to train in, and as long to save, lest a busy machine be too slow.
HOURS = 0.055
HASTE = {
    "launcher.quote.run_cost.SHORTEST": 30,
    "launcher.quote.run_cost.SLACK": 15,
    "launcher.quote.run_cost.RESERVED": 0.5,
}


def test_a_pod_whose_job_never_comes_deletes_itself(story, runpod, laptop):
    haste = {"trainer.contract.pod.PodSettings.upload_seconds": 10}
    work = story.train(altered={**haste, "kill": [4, "after"]})
    until(lambda: not work.running())
    assert laptop.journal("r1")[-1]["what"] == "rent"
    assert laptop.guards() == []
    pod = runpod.pods.only()
    until(lambda: pod.status == "TERMINATED", seconds=180)
    # The last line of a container may be read after its pod has ended.
    until(lambda: "released: terminate: no-job" in pod.log.texts("container"))
    story.ledger(
        laptop.launch("attach", "r1"),
        code=NotFound.exit_code,
        says=["its pod is gone", "launch train --resume r1"],
        adapter="none",
        hours=60 / 3600,
    )


def test_results_wait_on_stopped_pods_for_a_laptop_that_is_gone(story, runpod, laptop):
    """One run is finished, and waits out the grace; one trains until its deadline."""
    more = {"steps": 100_000, "hours": HOURS, "altered": HASTE}
    for run, asked in (("done", {}), ("late", more)):
        work = story.train(*("--set", "checkpoint.minutes=0.1"), run=run, **asked)
        until(partial(laptop.steps, run), seconds=180)
        work.kill()
    laptop.close()  # the guards as well
    done, late = story.pod("done"), story.pod("late")
    until(lambda: done.status == late.status == "EXITED", seconds=240)
    for run, hours in (("done", USUAL), ("late", HOURS)):
        seen = laptop.launch("attach", run)
        story.ledger(seen, code=PodFailed.exit_code, adapter="stopped pod", run=run, hours=hours)
    assert len(runpod.pods) == 2
    story.ledger(laptop.launch("fetch", "done"), run="done")
    story.whole(run="done")
    story.ledger(
        laptop.launch("fetch", "late"),
        code=TrainingFailed.exit_code,
        says=["save-by deadline has passed", "the adapter trained so far is in"],
        run="late",
        hours=HOURS + FETCHING / 3600,
    )
    proof = laptop.result("late")
    assert not proof.complete
    assert 0 < proof.metrics["steps"] < 100_000
