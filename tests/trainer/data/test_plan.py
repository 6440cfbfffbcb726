import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.attention.kernels import ROWS, VARLEN
from trainer.contract.job import from_sources
from trainer.contract.sizing.fit import fit
from trainer.contract.sizing.memory import KNOWN
from trainer.data.plan import BUDGET, make_plan
from trainer.device import Device


def plan_of(settings, lengths, device="cpu", attention=ROWS):
    job = from_sources(None, settings)
    return make_plan(
        job, lengths, device=Device(device, device), precision="fp32", fitted=None,
        attention=attention,
    )  # fmt: skip


@given(
    batch=st.integers(1, 64),
    longest=st.integers(1, 40_000),
    rows=st.integers(1, 500),
    device=st.sampled_from(["cpu", "cuda"]),
)
def test_passes_are_as_few_as_fit(batch, longest, rows, device):
    plan = plan_of([f"batch_size={batch}"], [longest] * rows, device)
    together = max(1, BUDGET[device == "cuda"] // longest)
    assert plan.passes <= -(-batch // together)
    assert plan.steps * batch >= rows * plan.epochs - 1e-6


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


def test_the_tokens_of_a_pass_can_be_given():
    plan = plan_of(["batch_size=8", "plan.tokens=20"], [10] * 16)
    assert (plan.pass_tokens, plan.passes) == (20, 4)


def test_what_cannot_be_packed_has_each_row_alone():
    plan = plan_of(["batch_size=8", "plan.tokens=20"], [10] * 16, attention="eager")
    assert (plan.pass_tokens, plan.passes) == (1, 8)


def test_a_card_of_known_size_decides_passes_and_recomputation():
    model = KNOWN["Qwen/Qwen2.5-7B-Instruct"]
    fitted = fit(model, card_bytes=24 * 10**9, rank=32, longest=2000)
    plan = make_plan(
        from_sources(None, []), [2000] * 64, device=Device("cuda", "a card", 24 * 10**9),
        precision=fitted.precision, fitted=fitted, attention=VARLEN,
    )  # fmt: skip
    assert (plan.pass_tokens, plan.recompute_every) == (fitted.pass_tokens, fitted.every)
    assert plan.predicted_bytes == fitted.need.total - fitted.need.context
    assert plan.passes == 16 / (fitted.pass_tokens // 2000) or plan.passes <= 16
