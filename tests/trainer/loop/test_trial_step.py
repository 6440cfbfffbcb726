import json

import pytest

from trainer.contract import events
from trainer.contract.job import from_sources
from trainer.contract.sizing.memory import KNOWN
from trainer.data.encode import Examples

SETTINGS = ["epochs=2", "batch_size=4", "lr=0.02", "lora.r=4", "lora.dropout=0.1", "max_length=256"]
QWEN = KNOWN["Qwen/Qwen2.5-3B-Instruct"]


def train(base_model, folder, *settings):
    from trainer.start_training import train as run

    def chat(number):
        question = {"role": "user", "content": f"{number} mean" * (1 + number % 5)}
        return {"messages": [question, {"role": "assistant", "content": "submit(1)" * 2}]}

    folder.mkdir()
    for name, rows in (("rows", range(10)), ("held", range(10, 13))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(chat(n)) + "\n" for n in rows))
    places = {"model": str(base_model), "data": str(folder / "rows.jsonl")}
    places |= {"output": str(folder / "run"), "eval_data": str(folder / "held.jsonl")}
    job = from_sources(None, [*SETTINGS, *settings], places)
    run(job, resume=False, overwrite=False, say=lambda _: None)
    return events.read(folder / "run" / "events.jsonl")[0], folder / "run"


@pytest.fixture(scope="module")
def runs(base_model, tmp_path_factory):
    """The same run without and with what looks at the model on the way."""
    from trainer.loop import trial_step

    folder = tmp_path_factory.mktemp("probe")
    plain = train(base_model, folder / "plain", "samples=0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_step, "wanted", lambda _plan: True)
        watched = train(base_model, folder / "watched", "samples=2")
    return plain, watched


def of(kind, found):
    return [event for event in found if isinstance(event, kind)]


def test_neither_probe_nor_samples_change_what_is_trained(runs):
    (plain, left), (watched, right) = runs
    assert [e.loss for e in of(events.Step, plain)] == [e.loss for e in of(events.Step, watched)]
    assert [e.loss for e in of(events.Eval, plain)] == [e.loss for e in of(events.Eval, watched)]
    counts = [[(e.tokens, e.trained_tokens) for e in of(events.Step, x)] for x in (plain, watched)]
    assert counts[0] == counts[1]
    name = "adapter/adapter_model.safetensors"
    assert (left / name).read_bytes() == (right / name).read_bytes()


def test_the_longest_step_is_measured_before_the_first(runs):
    (plain, _), (found, _) = runs
    assert of(events.TrialStep, plain) == []
    (measured,) = of(events.TrialStep, found)
    at = [e.type for e in found]
    assert at.index("plan") < at.index("probe") < at.index("step")
    tokens = [e.tokens for e in of(events.Step, found)]
    each = [b - a for a, b in zip([0, *tokens], tokens, strict=False)]
    assert measured.tokens == max(each)
    assert measured.seconds > 0
    assert measured.peak_bytes is None


def test_the_first_held_out_question_is_answered_at_each_evaluation_and_all_by_base_and_adapter(
    runs,
):
    (plain, _), (found, _) = runs
    assert of(events.Sample, plain) == []
    said = of(events.Sample, found)
    steps = [e.step for e in of(events.Eval, found)]
    (kept,) = of(events.HeldOut, found)
    assert [(e.step, e.label) for e in said] == [
        *[(0, "base")] * 2,
        *((step, "adapter") for step in steps[1:]),
        *[(kept.step, "adapter")] * 2,
    ]
    assert len({e.prompt for e in said}) == 2
    assert said[0].prompt == "user\n10 mean\nassistant\n"
    assert any(e.text for e in said)


@pytest.mark.parametrize(("every", "rate"), [(0, 67_572), (1, 47_572)])
def test_the_rate_at_the_peak_is_the_published_one_and_the_kernels_allow_less(every, rate):
    from trainer.attention.kernels import ROWS
    from trainer.data.plan import Plan
    from trainer.device import Device, numerics
    from trainer.loop.speed_bound import bound, peak_rate

    examples = Examples(lengths=[4096], trained_tokens=4096)
    examples.input_ids.extend([0] * 4096)
    card = Device("cuda", "NVIDIA H200")
    plan = Plan(card, numerics(card, "bf16"), every, None, ROWS, 4096, 1.0, 1, 1, 1.0)
    assert peak_rate(QWEN, plan, examples, 1) == pytest.approx(rate, rel=0.02)
    assert peak_rate(None, plan, examples, 1) is None
    allowed = bound(QWEN, plan, examples, 1)
    assert allowed is not None
    assert 0.4 * rate < allowed < rate
    assert bound(None, plan, examples, 1) is None
    cpu = Device("cpu", "cpu")
    unknown = Plan(cpu, numerics(cpu, "bf16"), every, None, ROWS, 4096, 1.0, 1, 1, 1.0)
    assert peak_rate(QWEN, unknown, examples, 1) is None
    assert bound(QWEN, unknown, examples, 1) is None
