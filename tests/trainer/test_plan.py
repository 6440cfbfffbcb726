import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.errors import BadJob
from trainer.contract.job import from_sources
from trainer.plan import BUDGET, check_micro_batch, make_plan


def plan_of(settings, lengths, device="cpu"):
    job = from_sources(None, settings)
    return make_plan(job, lengths, device=device, device_name=device, precision="fp32")


@given(
    batch=st.integers(1, 64),
    longest=st.integers(1, 40_000),
    rows=st.integers(1, 500),
    device=st.sampled_from(sorted(BUDGET)),
)
def test_the_batch_stays_as_it_was_asked_for(batch, longest, rows, device):
    plan = plan_of([f"batch_size={batch}"], [longest] * rows, device)
    assert plan.micro_batch * plan.accumulation == batch
    assert plan.micro_batch == 1 or plan.micro_batch * longest <= BUDGET[device]


@pytest.mark.parametrize(
    ("settings", "rows", "steps"),
    [
        (["epochs=3", "batch_size=8"], 24, 9),
        (["epochs=3", "batch_size=8"], 25, 12),
        (["epochs=0.5", "batch_size=8"], 80, 5),
        (["epochs=0.01", "batch_size=8"], 80, 1),
        (["epochs=3", "max_steps=7"], 80, 7),
    ],
)
def test_steps(settings, rows, steps):
    plan = plan_of(settings, [10] * rows)
    assert plan.steps == steps


def test_a_micro_batch_can_be_given_if_it_divides():
    assert plan_of(["batch_size=8", "plan.micro_batch=2"], [10]).accumulation == 4
    with pytest.raises(BadJob, match="3 does not divide batch_size 8"):
        check_micro_batch(from_sources(None, ["batch_size=8", "plan.micro_batch=3"]))
