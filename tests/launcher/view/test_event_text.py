import pytest

from launcher.view.event_text import clock, compared_lines, line, size
from tests.launcher.view.made import answers, step
from trainer.contract import events

APART = {events.Step, events.Data}  # the one is tested here, the other is for the report alone


def test_a_step_shows_loss_rates_and_time_left():
    assert line(step(3)) == (
        "step 3/100  loss 1.0000  lr 1.00e-03  1,234 tokens/s  567 trained/s  1:32 left"
    )


@pytest.mark.parametrize("kind", [k for k in events.KINDS.values() if k not in APART])
def test_every_event_has_a_line(kind):
    values = {
        "str": "text",
        "int": 3,
        "float": 0.5,
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


def test_base_against_adapter_is_one_line_also_when_it_got_worse():
    found = {"n": 40, "base": 0.5, "adapter": 0.25, "difference": -0.25, "more": {}}
    assert compared_lines(found) == ["tasks    0.500 -> 0.250 (-0.250), 40 questions answered"]
    assert compared_lines({"n": 40, "base": None}) == []


def test_an_evaluation_tells_how_far_it_is():
    assert line(answers(8, seconds_left=92.0)) == (
        "adapter 8/40 answered, 4 right, won 2, lost 1, 1:32 left; "
        'last: What is the largest "x"? -> 3 (right)'
    )
    alone = events.Answers(label="base", questions=9, answered=0, right=0)
    assert line(alone) == "base 0/9 answered, 0 right"


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_as_people_write_them(count, text):
    assert size(count) == text
