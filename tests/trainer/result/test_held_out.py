"""Base against adapter on held-out rows and on general prompts; judges: plain transformers with PEFT, and scipy."""

import json
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import rel_entr, softmax
from scipy.stats import binomtest

from trainer.contract import event_text, events, manifest
from trainer.contract.job import from_sources
from trainer.result import divergence, held_out

ROWS = 24  # 8 of them are held out
SETTINGS = ["max_steps=6", "batch_size=8", "lr=0.01", "lora.r=4", "max_length=256", "seed=1"]
MORE = ["plan.tokens=150", "checkpoint.steps=2", "samples=5"]


def chat(number: int) -> dict[str, Any]:
    """One turn, or two, or two of which the first is context only."""
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": f'submit(df["price"].mean() + {number})',
    }
    messages = [{"role": "user", "content": f"what is the mean of price plus {number}?"}, answer]
    if number % 3:
        again = {"role": "assistant", "content": f"print(df.head({number}))"}
        messages += [{"role": "user", "content": "show it"}, again]
    if number % 3 == 2:
        answer["weight"] = 0
    return {"messages": messages}


@pytest.fixture(scope="module")
def job_in(base_model, tmp_path_factory):
    data = tmp_path_factory.mktemp("data") / "rows.jsonl"
    data.write_text("".join(json.dumps(chat(number)) + "\n" for number in range(ROWS)))

    def job(output):
        places = {"model": str(base_model), "data": str(data), "output": str(output)}
        return from_sources(None, [*SETTINGS, *MORE], places)

    return job


def run(job, *, resume=False):
    from trainer.start_training import train

    lines: list[str] = []
    train(job, resume=resume, overwrite=False, say=lines.append)
    return lines


def told(job, kind):
    return [e for e in events.read(Path(job.output) / "events.jsonl")[0] if isinstance(e, kind)]


@pytest.fixture(scope="module")
def finished(job_in, tmp_path_factory):
    job = job_in(tmp_path_factory.mktemp("held") / "run")
    return job, run(job)


@pytest.fixture(scope="module")
def judge(finished):
    """The saved adapter on a clean base as PEFT loads it, with eager attention, and the tokenizer."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job, _ = finished
    adapter = Path(job.output) / manifest.ADAPTER
    base = AutoModelForCausalLM.from_pretrained(job.model, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, adapter).eval()
    return model, AutoTokenizer.from_pretrained(adapter)


def turns_of(job, tokenizer, line):
    """Return (token ids, labels of one turn alone) for each trained turn of a row."""
    from trainer.contract.rows import read_rows
    from trainer.data.encode import encode_each
    from trainer.data.templates import learn_format

    rows = [row for row in read_rows(Path(job.data)).rows if row.line == line]
    for _, parts in encode_each(rows, learn_format(tokenizer), lambda *_: pytest.fail("a fault")):
        for _, one in parts:
            runs = [[*r] for _, r in groupby(enumerate(one.labels), key=lambda at: at[1] != -100)]
            for found in (run for run in runs if run[0][1] != -100):
                alone = [-100] * len(one.labels)
                alone[found[0][0] : found[-1][0] + 1] = [label for _, label in found]
                yield one.input_ids, alone


def test_base_and_adapter_are_measured_per_row_and_turn_as_transformers_does(finished, judge):
    import torch

    job, lines = finished
    model, tokenizer = judge
    (found,) = told(job, events.HeldOut)
    assert len(found.rows) == 8
    assert {len(row.turns) for row in found.rows} == {1, 2}
    all_tokens, sums, better = 0, [0.0, 0.0], 0
    for row in found.rows:
        mine = [0.0, 0.0]
        turns = list(turns_of(job, tokenizer, row.line))
        for (tokens, *losses), (ids, labels) in zip(row.turns, turns, strict=True):
            assert tokens == len(labels) - labels.count(-100)
            batch = {"input_ids": torch.tensor([ids]), "labels": torch.tensor([labels])}
            with torch.no_grad():
                adapter = float(model(**batch).loss)
                with model.disable_adapter():
                    base = float(model(**batch).loss)
            assert losses == pytest.approx([base, adapter], abs=1e-4)
            mine = [mine[0] + tokens * base, mine[1] + tokens * adapter]
            all_tokens += tokens
        sums = [a + b for a, b in zip(sums, mine, strict=True)]
        better += mine[1] < mine[0]
    assert [found.base_loss, found.loss] == pytest.approx([s / all_tokens for s in sums], abs=1e-4)
    assert (found.better, found.worse) == (better, 8 - better)
    assert found.p == pytest.approx(binomtest(better, 8).pvalue)
    base, *measured = told(job, events.Eval)
    assert (base.step, base.loss) == (0, pytest.approx(found.base_loss, abs=1e-5))
    assert found.loss == pytest.approx(min(e.loss for e in measured), abs=1e-5)
    assert event_text.line(found) in lines
    figures = manifest.verify(Path(job.output)).metrics
    assert (figures["base_loss"], figures["held_out_better"]) == (found.base_loss, better)


def test_base_and_adapter_answer_five_held_out_rows(finished, judge):
    import torch

    job, _ = finished
    model, tokenizer = judge
    (kept,) = told(job, events.HeldOut)
    rows = [json.loads(line)["messages"] for line in Path(job.data).read_text().splitlines()]
    samples = told(job, events.Sample)
    before = [s for s in samples if s.label == "base"]
    after = [s for s in samples if s.label == "adapter" and s.step == kept.step][-5:]
    lines = [row.line for row in kept.rows[:5]]
    assert [s.line for s in before] == [s.line for s in after] == lines
    for sample in (*before, *after):
        messages = rows[sample.line - 1]
        first = next(
            at for at, m in enumerate(messages) if m["role"] == "assistant" and m.get("weight", 1)
        )
        assert sample.reference == messages[first]["content"]
        prompt = tokenizer.apply_chat_template(
            messages[:first], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with model.disable_adapter() if sample.label == "base" else nullcontext(), torch.no_grad():
            answer = model.generate(**prompt, max_new_tokens=64, do_sample=False)
        text = tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert sample.text.removesuffix(" …") == text
    assert {s.text for s in before} != {s.text for s in after}


def test_the_divergence_on_general_prompts_is_scipys(finished, judge):
    import torch

    job, lines = finished
    model, tokenizer = judge
    (found,) = told(job, events.Divergence)
    rows = [
        json.loads(line)["messages"] for line in divergence.PROMPTS.read_text("utf-8").splitlines()
    ]
    assert [prompt for prompt, _ in found.each] == [question["content"] for question, _ in rows]
    assert len(rows) >= 20
    for (_, kl), (question, answer) in list(zip(found.each, rows, strict=True))[::5]:
        prompt = tokenizer.apply_chat_template(
            [question], add_generation_prompt=True, tokenize=False
        )
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(prompt + answer["content"] + tokenizer.eos_token, return_tensors="pt")[
            "input_ids"
        ]
        with torch.no_grad():
            adapter = softmax(model(ids).logits[0, start - 1 : -1].double().numpy(), axis=-1)
            with model.disable_adapter():
                base = softmax(model(ids).logits[0, start - 1 : -1].double().numpy(), axis=-1)
        assert kl == pytest.approx(rel_entr(base, adapter).sum(axis=-1).mean(), rel=1e-3, abs=1e-5)
    assert event_text.line(found) in lines


def test_the_bundled_model_has_learned_nothing_general_that_could_change():
    tiny: Any = SimpleNamespace(source=SimpleNamespace(name="bundled:tiny"))
    assert divergence.measure(None, tiny, 1, nullcontext()) is None


def test_a_resumed_run_does_not_measure_the_base_again(finished, job_in, tmp_path, monkeypatch):
    job = job_in(tmp_path / "run")
    plain = events.Writer.emit

    def emit(writer, event):
        if isinstance(event, events.Step) and event.step == 4:
            raise ZeroDivisionError
        return plain(writer, event)

    with monkeypatch.context() as patch:
        patch.setattr(events.Writer, "emit", emit)
        with pytest.raises(ZeroDivisionError):
            run(job)
    run(job, resume=True)
    assert [e.step for e in told(job, events.Eval)].count(0) == 1
    assert len([s for s in told(job, events.Sample) if s.label == "base"]) == 5
    for kind in (events.HeldOut, events.Divergence):
        (here,), (there,) = told(job, kind), told(finished[0], kind)
        assert here.model_dump(exclude={"seq", "time"}) == there.model_dump(exclude={"seq", "time"})


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (11, 1), (4, 4), (0, 8), (700, 800)])
def test_the_sign_test_is_scipys(better, worse):
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert held_out.sign_test(better, worse) == pytest.approx(expected)


def history(base, adapter, step=4):
    return [
        {"step": 0, "base_turns": base},
        {"step": step, "eval_loss": 1.0, "eval_turns": adapter},
    ]


def test_what_is_compared_and_what_cannot_be():
    # By hand: row 3 has 10 * 1.0 + 30 * 2.0 = 70 nats in 40 tokens, then 10 * 3.0 + 30 * 0.5 = 45.
    base = [(3, 10, 1.0), (3, 30, 2.0), (5, 20, 1.0), (9, 40, 2.0)]
    found = held_out.compare(history(base, [3.0, 0.5, 1.0, 2.5]), 4)
    assert found is not None
    assert [row.line for row in found.rows] == [3, 5, 9]
    assert found.rows[0].losses == (1.75, 1.125)
    assert (found.better, found.worse, found.p) == (1, 1, 1.0)
    assert (found.base_loss, found.loss) == (1.7, 1.65)
    assert held_out.compare(history(base, [3.0, 0.5, 1.0, 2.5]), 5) is None
    assert held_out.compare(history(base, [3.0, 0.5, float("nan"), 2.5]), 4) is None
    assert held_out.compare([{"step": 4, "eval_loss": 1.0}], 4) is None


def sentence(base, adapter):
    found = held_out.compare(history(base, adapter), 4)
    assert found is not None
    return event_text.line(found)


def test_the_sentence_reports_the_winner_or_that_there_is_none():
    base = [(line, 10, 2.0) for line in range(12)]
    assert sentence(base, [1.0] * 11 + [2.5]) == (
        "the adapter predicts 11 of 12 held-out answers better than the base "
        "(loss 2.00 -> 1.12, paired sign test p = 0.0063)"
    )
    assert sentence(base, [1.9] * 7 + [2.1] * 5).endswith("p = 0.77): no difference is shown")
    assert sentence(base, [2.1] * 12).endswith("p = 0.00049): the base predicts them better")
    # Most rows are better, and the loss is higher: one row is much worse.
    assert sentence(base, [1.9] * 11 + [9.0]).endswith("no difference is shown")
    two = [(line, 10, 2.0) for line in range(8) for _ in range(2)]
    assert "8 of 8 held-out chats (16 of 16 answers) better" in sentence(two, [1.0] * 16)


def test_keeping_the_step_of_the_lowest_loss_gives_few_false_winners():
    """Adapters that gain nothing on average: 10 evaluations of 50 rows, of which the best for the adapter is kept."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(2000):
        differences = rng.normal(size=(10, 50)).cumsum(axis=0)
        kept = differences[differences.mean(axis=1).argmin()]
        better = int((kept < 0).sum())
        found += better > 25 and kept.mean() < 0 and held_out.sign_test(better, 50 - better) < 0.05
    assert 0.02 < found / 2000 < 0.06
