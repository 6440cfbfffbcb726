"""Against figures worked out by hand, and against what must hold whatever the constants are."""

import dataclasses
import json

import pytest

from launcher.quote.estimate import TrainingSize, architecture, estimate, training_size
from launcher.quote.run_cost import one_at_a_time
from launcher.quote.speed import PARTS
from launcher.world import World
from trainer.contract.command.errors import ModelUnavailable, NotFound
from trainer.contract.job import from_sources
from trainer.contract.rows import read_rows
from trainer.contract.sizing import roofline
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.memory import KNOWN, Setting

QWEN3B = KNOWN["Qwen/Qwen2.5-3B-Instruct"]
WORK = TrainingSize(
    model=QWEN3B, parameters=QWEN3B.parameters, tokens=3_000_000, longest=1500, context=1000.0,
    scored=0.25, rank=32, precision=None,
)  # fmt: skip
A100, A5000 = "NVIDIA A100 80GB PCIe", "NVIDIA RTX A5000"


LIKE = {"context": 1000.0, "scored": 0.25}


def test_an_a100_by_hand():
    """0.70 of the bound, which the trace of the kernels judges (test_roofline.py); no recomputation."""
    found = estimate(WORK, A100, memory=80)
    assert found.fit is not None
    assert (found.fit.precision, found.fit.every) == ("bf16", 0)
    setting = Setting(precision="bf16", rank=32, tokens=found.fit.pass_tokens, recomputed=0)
    bound = roofline.rate(QWEN3B, setting, CARDS[A100], **LIKE)
    assert found.tokens_per_second == pytest.approx(0.70 * bound)
    assert found.sources() == [
        "token/s: counted bound x 0.70, the share of published runs",
        "image pull and start-up: assumed",
    ]
    # pull 180, start 60, weights 6.17e9 / 100e6, training, adapter 59.87e6 x 4 / 5e6
    train = 3_000_000 / found.tokens_per_second
    assert found.seconds["likely"] == pytest.approx(180 + 60 + 61.7 + train + 47.9, abs=0.5)


def test_measuring_the_loss_is_a_forward_pass_and_questions_take_their_time():
    """At the same share of the bound as training."""
    alone = estimate(WORK, A100, memory=80)
    plain, fitted = alone.seconds, alone.fit
    assert fitted is not None
    setting = Setting(precision="bf16", rank=32, tokens=fitted.pass_tokens, recomputed=0)
    forward = roofline.seconds(roofline.evaluation(QWEN3B, setting, **LIKE), CARDS[A100])
    measured = dataclasses.replace(WORK, measured=600_000)
    more = estimate(measured, A100, memory=80).seconds
    for part, reached in (("low", 0.85), ("likely", 0.70), ("high", 0.45)):
        expected = 600_000 / fitted.pass_tokens * forward / reached
        assert more[part] - plain[part] == pytest.approx(expected, rel=1e-3)
    asked = estimate(dataclasses.replace(WORK, questions=200), A100, memory=80).seconds
    assert {part: round(asked[part] - plain[part]) for part in PARTS} == {
        "low": 200,  # 200 to the base and 200 to the adapter, at 2 a second
        "likely": 400,
        "high": 1000,
    }


def folder_of(tmp_path, **config):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    data = tmp_path / "rows.jsonl"
    chat = [{"role": "user", "content": "mean?"}, {"role": "assistant", "content": "submit(1)"}]
    data.write_text(json.dumps({"messages": chat}) + "\n")
    places = {"model": str(tmp_path / "base"), "data": str(data)}
    return from_sources(None, [], places), read_rows(data)


def test_rows_that_are_trained_one_at_a_time_take_longer_and_the_quote_says_why(tmp_path):
    found = training_size(*folder_of(tmp_path, model_type="gemma2"), world=World())
    assert found.alone == "a soft cap on the scores"
    slow = estimate(dataclasses.replace(WORK, alone=found.alone), A100, memory=80)
    assert slow.tokens_per_second == estimate(WORK, A100, memory=80).tokens_per_second / 2
    assert one_at_a_time(found.alone) == [
        "rows are trained one at a time (a soft cap on the scores), which is slower"
    ]
    assert one_at_a_time("") == []


def test_a_base_that_the_trainer_refuses_is_refused_before_the_quote(tmp_path):
    with pytest.raises(ModelUnavailable, match="PEFT does not adapt all of its linear layers"):
        training_size(*folder_of(tmp_path, model_type="mamba"), world=World())


def test_a_model_of_unknown_shape_is_measured_at_two_a_parameter():
    strange = dataclasses.replace(WORK, model=None, parameters=3e9)
    measured = dataclasses.replace(strange, measured=100_000)
    more = estimate(measured, A100, memory=80).seconds["likely"]
    plain = estimate(strange, A100, memory=80).seconds["likely"]
    assert more - plain == pytest.approx(100_000 * 2 * 3e9 / (0.70 * 312e12))


@pytest.mark.parametrize(
    ("part", "pull", "link", "answered", "reached"),
    [
        ("low", 60, 300e6, 2.0, 0.85),
        ("likely", 180, 100e6, 1.0, 0.70),
        ("high", 480, 40e6, 0.4, 0.45),
    ],
)
def test_every_part_of_the_time_by_hand(part, pull, link, answered, reached):
    """Image, start, weights of 2 bytes a parameter, training, answers, an adapter of 4 bytes a parameter."""
    found = estimate(WORK, A100, memory=80)
    train = 3_000_000 / found.tokens_per_second * 0.70 / reached
    here = 60 + 2 * 3.086e9 / link + train
    adapter = 59.87e6 * 4 / 5e6
    assert found.seconds[part] == pytest.approx(here + pull + adapter, rel=1e-3)
    at_home = estimate(WORK, A100, memory=80, here=True).seconds[part]
    assert at_home == pytest.approx(here, rel=1e-3)
    # 60 questions to each of five checkpoints, each of them loaded for 30 s
    chosen = estimate(dataclasses.replace(WORK, validated=60), A100, memory=80).seconds[part]
    assert chosen - found.seconds[part] == pytest.approx(5 * 60 / answered + 5 * 30)


def test_nf4_is_slower():
    """torchtune's README has 2% (3B, A100) to 22% (8B, RTX 4090)."""
    one = estimate(WORK, A100, memory=80).tokens_per_second
    small = estimate(dataclasses.replace(WORK, precision="nf4"), A100, memory=80)
    assert small.fit is not None
    assert (small.fit.precision, small.fit.every) == ("nf4", 0)
    assert 1.02 < one / small.tokens_per_second < 1.22


def test_cards_wait_for_the_one_with_most_tokens_and_for_the_gradients():
    """Rows of 900, 500, 300, 300: 1,000 and 1,000 tokens on two cards, 900 on the busiest of four.

    59.87e6 gradients of 4 bytes: 2 x 1/2 or 2 x 3/4 of them over PCIe at 24 GB/s, before the share.
    """
    rows = dataclasses.replace(WORK, steps=((900, 500, 300, 300),))
    for count, busiest in ((1, 2000), (2, 1100), (4, 900)):
        found = estimate(rows, A100, memory=80, count=count)
        setting = Setting(precision="bf16", rank=32, tokens=busiest, recomputed=0)
        seconds = busiest / roofline.rate(QWEN3B, setting, CARDS[A100], **LIKE)
        moved = 2 * (count - 1) / count * 59.87e6 * 4 / 24e9
        assert found.speed.bound == pytest.approx(2000 / (seconds + moved), rel=1e-3)


def test_cards_that_divide_the_base_wait_for_its_weights():
    """6.5e9 weights of 2 bytes, gathered twice a micro-batch: 3/4 of them over PCIe at 24 GB/s."""
    qwen7b = KNOWN["Qwen/Qwen2.5-7B-Instruct"]
    whole = dataclasses.replace(WORK, model=qwen7b, precision="bf16", steps=((1000,) * 4,))
    divided = estimate(dataclasses.replace(whole, shard=True), A100, memory=80, count=4)
    least = 2 * 2 * qwen7b.linear * 3 / 4 / 24e9
    moved = 2 * 3 / 4 * qwen7b.adapter(32) * 4 / 24e9
    assert divided.speed.bound == pytest.approx(4000 / (least + moved))
    assert estimate(whole, A100, memory=80, count=4).speed.bound > 4 * divided.speed.bound


def test_a_model_and_a_card_that_nobody_knows():
    """6 and 2 flops a parameter and token, 70e12 flops a second; an adapter of 2% of the weights."""
    strange = dataclasses.replace(WORK, model=None, parameters=3e9)
    found = estimate(strange, "NVIDIA Rubin X", memory=24)
    assert found.fit is None
    assert found.tokens_per_second == pytest.approx(0.70 * 70e12 / (6 * 3e9))
    train = 3_000_000 / found.tokens_per_second
    assert found.seconds["likely"] == pytest.approx(180 + 60 + 60 + train + 3e9 * 0.02 * 4 / 5e6)


@pytest.mark.parametrize("card", CARDS)
def test_low_is_below_likely_and_that_below_high(card):
    seconds = estimate(WORK, card, memory=24).seconds
    assert [seconds[part] for part in PARTS] == sorted(seconds.values())


def test_more_work_and_a_slower_card_take_longer():
    def likely(what, card, count=1):
        return estimate(what, card, memory=24, count=count).seconds["likely"]

    more = dataclasses.replace(WORK, tokens=9_000_000)
    asked = dataclasses.replace(WORK, questions=200)
    base = likely(WORK, A5000)
    assert base < likely(more, A5000)
    assert base < likely(asked, A5000)
    assert likely(WORK, "NVIDIA H100 80GB HBM3") < base
    assert likely(WORK, A5000, 4) < base


def test_what_does_not_fit():
    large = dataclasses.replace(WORK, model=KNOWN["Qwen/Qwen2.5-7B-Instruct"], precision="bf16")
    assert not estimate(large, "NVIDIA RTX A4000", memory=16).fits
    assert estimate(large, A100, memory=80).fits
    assert estimate(dataclasses.replace(large, model=None), A5000, memory=4).fits  # not known


def test_work_is_measured_from_the_rows(tmp_path):
    rows = tmp_path / "rows.jsonl"
    messages = [
        {"role": "user", "content": "q" * 400},
        {"role": "assistant", "content": "a" * 100, "weight": 0},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a" * 40},
    ]
    rows.write_text(json.dumps({"messages": messages}) + "\n")
    job = from_sources(None, [], {"data": str(rows), "epochs": 2.0})
    found = training_size(job, read_rows(rows), world=World())
    assert found.model == QWEN3B
    assert found.longest == 541 // 4 + 16
    assert found.tokens == 2 * found.longest
    assert found.scored == pytest.approx(11 / found.longest)


@pytest.mark.parametrize(
    ("model", "billions"),
    [
        ("me/Some-7B-Instruct", 7.0),
        ("me/thing-1.5b", 1.5),
        ("me/13b-4bit", 13.0),
        ("me/thing-4bit", 3.0),
        ("me/thing", 3.0),
    ],
)
def test_parameters_are_read_from_a_name_that_nobody_knows(tmp_path, model, billions):
    rows = rows_file(tmp_path / "rows.jsonl", 1)
    job = from_sources(None, [f"model={model}"], {"data": str(rows)})
    found = training_size(job, read_rows(rows), world=World())
    assert found.model is None
    assert found.parameters == pytest.approx(billions * 1e9)


def test_parameters_are_read_from_the_weights_of_a_folder(tmp_path):
    rows = rows_file(tmp_path / "rows.jsonl", 1)
    for name, size in (("a.safetensors", 3000), ("b.safetensors", 1000), ("c.bin", 500)):
        (tmp_path / name).write_bytes(bytes(size))
    job = from_sources(None, [f"model={tmp_path}"], {"data": str(rows)})
    assert training_size(job, read_rows(rows), world=World()).parameters == pytest.approx(2000)


def test_the_work_in_numbers_a_person_can_check(tmp_path):
    rows = tmp_path / "rows.jsonl"
    call = {"type": "function", "id": "c", "function": {"name": "run", "arguments": "{}"}}
    short = [{"role": "user", "content": "q" * 40}, {"role": "assistant", "content": "a" * 40}]
    long = [*short, {"role": "assistant", "content": None, "tool_calls": [call]}]
    long[0] = {"role": "user", "content": "q" * 8000}
    rows.write_text("".join(json.dumps({"messages": said}) + "\n" for said in (short, long)))
    data = read_rows(rows)
    called = len('[{"name": "run", "arguments": {}}]')
    lengths = [80 // 4 + 8, (8040 + called) // 4 + 12]
    job = from_sources(None, ["lora.r=8", "max_length=1024"], {"data": str(rows), "epochs": 1.0})
    found = training_size(job, data, world=World())
    assert found.longest == 1024
    assert found.tokens == sum(lengths)
    assert found.context == pytest.approx(sum(n * n for n in lengths) / sum(lengths))
    assert found.scored == pytest.approx((11 + 11 + called // 4 + 1) / sum(lengths))
    assert (found.rank, found.precision) == (8, None)
    assert (found.questions, found.validated, found.measured) == (0, 0, 0)
    exact = training_size(job.model_copy(update={"precision": "nf4"}), data, world=World())
    assert exact.precision == "nf4"


def rows_file(path, count):
    """Rows that differ, of 108 characters: 108 // 4 + 2 x 4 = 35 tokens each."""
    with path.open("w") as file:
        for number in range(count):
            asked = {"role": "user", "content": f"{number:08d}"}
            said = {"role": "assistant", "content": "a" * 100}
            file.write(json.dumps({"messages": [asked, said]}) + "\n")
    return path


def test_held_out_rows_are_measured_and_not_trained_on(tmp_path):
    """200 rows: 10 held out, 190 in 12 steps an epoch, 36 in all: every 4th, 9 times, and the base."""
    rows = rows_file(tmp_path / "rows.jsonl", 200)
    job = from_sources(None, [], {"data": str(rows), "epochs": 3.0})
    found = training_size(job, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (190 * 35 * 3, 10 * 10 * 35)
    # 7 steps of 16 rows; after each, as there are fewer than ten
    short = job.model_copy(update={"max_steps": 7})
    found = training_size(short, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (7 * 16 * 35, 8 * 10 * 35)
    none = job.model_copy(update={"eval_share": 0.0})
    found = training_size(none, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (200 * 35 * 3, 0)


def test_rows_of_their_own_are_measured_and_all_others_trained_on(tmp_path):
    """200 rows: 13 steps an epoch, 39 in all: every 4th and the last, 10 times, and the base."""
    rows, own = rows_file(tmp_path / "rows.jsonl", 200), rows_file(tmp_path / "eval.jsonl", 20)
    job = from_sources(None, [f"eval_data={own}"], {"data": str(rows), "epochs": 3.0})
    found = training_size(job, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (200 * 35 * 3, 11 * 20 * 35)


def test_questions_are_counted_once_each(tmp_path):
    rows = rows_file(tmp_path / "rows.jsonl", 3)
    episodes = tmp_path / "test.jsonl"
    table = {"path": "t.csv", "sha256": "0" * 64}
    ids = ["a", "b", "b", None, None]
    lines = [
        json.dumps({"n": n, "tables": [table]} | ({"question": {"id": name}} if name else {}))
        for n, name in enumerate(ids)
    ]
    episodes.write_text("\n".join(lines) + "\n")
    job = from_sources(None, [], {"data": str(rows), "evaluate": str(episodes)})
    assert training_size(job, read_rows(rows), world=World()).questions == 4
    chosen = job.model_copy(update={"evaluate": None, "validation": str(episodes)})
    assert training_size(chosen, read_rows(rows), world=World()).validated == 4
    missing = job.model_copy(update={"evaluate": str(tmp_path / "none.jsonl")})
    with pytest.raises(NotFound):
        training_size(missing, read_rows(rows), world=World())


def test_the_shape_of_a_local_folder_and_of_a_strange_one(tmp_path):
    config = {
        "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 32,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = architecture(str(tmp_path), world=World())
    assert found is not None
    assert found.hidden == 8
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": "x"}')
    assert architecture(str(tmp_path), world=World()) is None


def test_the_shape_of_a_model_that_the_hubs_cache_holds(tmp_path, monkeypatch):
    """Of several snapshots, the one that can be read; a download that was cut off leaves none."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshots = tmp_path / "hub" / "models--me--thing" / "snapshots"
    config = {
        "model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 32,
    }  # fmt: skip
    assert architecture("me/thing", world=World()) is None
    for name, text in (("0", "{"), ("1", json.dumps(config)), ("2", "[]")):
        (snapshots / name).mkdir(parents=True)
        (snapshots / name / "config.json").write_text(text)
    found = architecture("me/thing", world=World())
    assert found is not None
    assert found.hidden == 8


def test_cards_that_divide_the_base_are_sized_by_their_part():
    """7.6 billion parameters in bf16 are 15.2 GB: too much for one card of 16, but a quarter each is not."""
    whole = dataclasses.replace(WORK, model=KNOWN["Qwen/Qwen2.5-7B-Instruct"], precision="bf16")
    small = "NVIDIA RTX A4000"
    assert not estimate(whole, small, memory=16, count=4).fits
    divided = dataclasses.replace(whole, shard=True)
    assert estimate(divided, small, memory=16, count=4).fits
    assert not estimate(divided, small, memory=16, count=1).fits
