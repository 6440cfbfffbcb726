"""Against figures worked out by hand, and against what must hold whatever the constants are."""

import dataclasses
import json

import pytest

from launcher.estimate import PARTS, Work, architecture, estimate, work
from launcher.world import World
from trainer.contract.cards import PEAK
from trainer.contract.errors import NotFound
from trainer.contract.job import from_sources
from trainer.contract.rows import read_rows
from trainer.contract.sizing import KNOWN

QWEN3B = KNOWN["Qwen/Qwen2.5-3B-Instruct"]
WORK = Work(
    model=QWEN3B, parameters=QWEN3B.parameters, tokens=3_000_000, longest=1500, context=1000.0,
    scored=0.25, rank=32, precision=None,
)  # fmt: skip
A100, A5000 = "NVIDIA A100 80GB PCIe", "NVIDIA RTX A5000"


def test_an_a100_by_hand():
    """No recomputation: 4 x 2.7746e9 + 3.5 x 2 x 1000 x 2048 x 36 + 4 x 0.3112e9 / 4 + 6 x 59.87e6."""
    found = estimate(WORK, A100, memory=80)
    assert found.fit is not None
    assert (found.fit.precision, found.fit.every) == ("bf16", 0)
    per_token = 4 * 2.7746e9 + 3.5 * 2 * 1000 * 2048 * 36 + 0.3112e9 + 6 * 59.87e6
    assert found.tokens_per_second == pytest.approx(0.40 * 312e12 / per_token, rel=1e-3)
    # pull 180, start 60, weights 6.17e9 / 100e6, training, adapter 59.87e6 x 4 / 5e6
    train = 3_000_000 / found.tokens_per_second
    assert found.seconds["likely"] == pytest.approx(180 + 60 + 61.7 + train + 47.9, abs=0.5)


def test_measuring_the_loss_is_a_forward_pass_and_questions_take_their_time():
    """2 x 2.7746e9 + 2 x 1000 x 2048 x 36 + 2 x 0.3112e9 / 4 + 2 x 59.87e6 a token, at 0.4 of 312e12."""
    plain = estimate(WORK, A100, memory=80).seconds
    measured = dataclasses.replace(WORK, measured=600_000)
    forward = 2 * 2.7746e9 + 2 * 1000 * 2048 * 36 + 2 * 0.3112e9 / 4 + 2 * 59.87e6
    more = estimate(measured, A100, memory=80).seconds
    for part, reached in (("low", 0.55), ("likely", 0.40), ("high", 0.25)):
        expected = 600_000 * forward / (reached * 312e12)
        assert more[part] - plain[part] == pytest.approx(expected, rel=1e-3)
    asked = estimate(dataclasses.replace(WORK, questions=200), A100, memory=80).seconds
    assert {part: round(asked[part] - plain[part]) for part in PARTS} == {
        "low": 200,  # 200 to the base and 200 to the adapter, at 2 a second
        "likely": 400,
        "high": 1000,
    }


def test_a_model_of_unknown_shape_is_measured_at_two_a_parameter():
    strange = dataclasses.replace(WORK, model=None, parameters=3e9)
    measured = dataclasses.replace(strange, measured=100_000)
    more = estimate(measured, A100, memory=80).seconds["likely"]
    plain = estimate(strange, A100, memory=80).seconds["likely"]
    assert more - plain == pytest.approx(100_000 * 2 * 3e9 / (0.40 * 312e12))


@pytest.mark.parametrize("card", PEAK)
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
    found = work(job, read_rows(rows), world=World())
    assert found.model == QWEN3B
    assert found.longest == 541 // 4 + 16
    assert found.tokens == 2 * found.longest
    assert found.scored == pytest.approx(11 / found.longest)


def rows_file(path, count):
    """Rows that differ, of 108 letters: 108 // 4 + 2 x 4 = 35 tokens each."""
    with path.open("w") as file:
        for number in range(count):
            asked = {"role": "user", "content": f"{number:08d}"}
            said = {"role": "assistant", "content": "a" * 100}
            file.write(json.dumps({"messages": [asked, said]}) + "\n")
    return path


def test_held_out_rows_are_measured_and_not_trained_on(tmp_path):
    """200 rows: 10 held out, 190 in 12 steps an epoch, 36 in all: every 4th, 9 times."""
    rows = rows_file(tmp_path / "rows.jsonl", 200)
    job = from_sources(None, [], {"data": str(rows), "epochs": 3.0})
    found = work(job, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (190 * 35 * 3, 9 * 10 * 35)
    # 7 steps of 16 rows; after each, as there are fewer than ten
    short = job.model_copy(update={"max_steps": 7})
    found = work(short, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (7 * 16 * 35, 7 * 10 * 35)
    none = job.model_copy(update={"eval_share": 0.0})
    found = work(none, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (200 * 35 * 3, 0)


def test_rows_of_their_own_are_measured_and_all_others_trained_on(tmp_path):
    """200 rows: 13 steps an epoch, 39 in all: every 4th and the last, 10 times."""
    rows, own = rows_file(tmp_path / "rows.jsonl", 200), rows_file(tmp_path / "eval.jsonl", 20)
    job = from_sources(None, [f"eval_data={own}"], {"data": str(rows), "epochs": 3.0})
    found = work(job, read_rows(rows), world=World())
    assert (found.tokens, found.measured) == (200 * 35 * 3, 10 * 20 * 35)


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
    assert work(job, read_rows(rows), world=World()).questions == 4
    chosen = job.model_copy(update={"evaluate": None, "validation": str(episodes)})
    assert work(chosen, read_rows(rows), world=World()).validated == 4
    missing = job.model_copy(update={"evaluate": str(tmp_path / "none.jsonl")})
    with pytest.raises(NotFound):
        work(missing, read_rows(rows), world=World())


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
