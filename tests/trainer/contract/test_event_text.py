import pytest

from tests.launcher.view.made import answers, step
from trainer.contract import events
from trainer.contract.event_text import clock, line

# The report alone shows data; tests/trainer/result/test_held_out.py has HeldOut's line.
APART = {events.Step, events.Data, events.HeldOut, events.Divergence}


def test_a_step_shows_loss_rates_and_time_left():
    assert line(step(3)) == (
        "step 3/100  loss 1.0000  lr 1.00e-03  1,234 tokens/s  567 trained/s  1:32 left"
    )


def test_a_divergence_shows_the_median_and_the_most_changed_prompt():
    found = events.Divergence(step=3, each=[("Who?", 0.25), ("Why?", 1.5), ("When?", 0.125)])
    assert line(found).startswith(
        "on 3 general prompts the adapter's next-token distribution differs from the base's by "
        '0.25 nats a token (median KL divergence; most 1.5: "Why?"); for comparison: '
    )


@pytest.mark.parametrize("kind", [k for k in events.KINDS.values() if k not in APART])
def test_every_event_has_a_line(kind):
    values = {
        "str": "text",
        "int": 3,
        "float": 0.5,
        "bool": True,
    }
    fields = {
        name: values[field.annotation.__name__]
        for name, field in kind.model_fields.items()
        if field.is_required() and name != "type"
    }
    assert line(kind(**fields))
    assert line(events.Unknown(type="new")) == ""


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(1, "micro-batches of one row"), (2048, "micro-batches of up to 2,048 tokens")],
)
def test_the_plan_shows_how_many_rows_share_a_micro_batch(tokens, text):
    plan = events.Plan(
        device="a card", precision="bf16", pass_tokens=tokens, passes=1.0, rows=10, tokens=100,
        trained_tokens=40, steps=5, epochs=1.0, trainable_parameters=9,
    )  # fmt: skip
    assert line(plan).splitlines()[0] == f"plan: a card, bf16, 5 steps, {text}"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1:00"), (92, "1:32"), (7509, "2:05:09"), (-1, "0s")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_an_evaluation_tells_how_far_it_is():
    assert line(answers(8, seconds_left=92.0)) == (
        "adapter 8/40 answered, 4 right, won 2, lost 1, 1:32 left; "
        'last: What is the largest "x"? -> 3 (right)'
    )
    alone = events.Answers(label="base", questions=9, answered=0, right=0)
    assert line(alone) == "base 0/9 answered, 0 right"


def test_a_trial_step_is_shown_beside_what_was_predicted():
    measured = events.TrialStep(
        tokens=8192,
        seconds=0.5,
        tokens_per_second=16384.0,
        bound_tokens_per_second=32768.0,
        peak_bytes=22_000_000_000,
        predicted_bytes=20_000_000_000,
    )
    assert line(measured) == (
        "trial step: 8,192 tokens in 0.50 s, 16,384 tokens/s, 50% of the card's bound; "
        "at most 22.0 GB, 20.0 GB predicted (+10%)"
    )


@pytest.mark.parametrize(
    ("used", "fused", "finding", "text"),
    [
        (True, 2.0, "loss agrees", "1.21 times as fast as plain, loss agrees; used"),
        (False, 3.025, "loss agrees", "0.80 times as fast as plain, loss agrees; not used"),
        (False, None, "liger-kernel is missing", "liger-kernel is missing; not used"),
    ],
)
def test_the_choice_of_kernels_is_one_line(used, fused, finding, text):
    chosen = events.Kernels(used=used, plain_seconds=2.42, fused_seconds=fused, finding=finding)
    assert line(chosen) == f"fused kernels: {text}"
