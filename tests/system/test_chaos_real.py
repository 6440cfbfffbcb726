"""Seeded schedules of faults with real containers and SSH; the same ledger after every one.

Three run with the suite; ``make chaos-real`` runs 30, and ``SEED=n`` one of them.
"""

import os

import pytest

from tests.system.schedule import draw, finished, play

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

SEEDS = os.environ.get("CHAOS_REAL", "4 17 25")


@pytest.mark.parametrize("seed", [int(word) for word in SEEDS.split()])
def test_no_schedule_breaks_a_promise(seed, story, record_property):
    schedule = draw(seed)
    print(f"schedule {schedule}")
    last = play(schedule, story)
    pods = story.runpod.pods.all.values()
    record_property("schedule", str(schedule))
    record_property("pods", len(pods))
    assert finished(story), f"schedule {schedule}\n{last.said}"
    story.ledger_of_all(last)
