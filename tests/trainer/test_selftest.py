import json

import pytest

from trainer import attention, selftest
from trainer.contract import events
from trainer.contract.errors import TrainingFailed
from trainer.contract.job import from_sources

SETTINGS = ["max_steps=1", "batch_size=4", "lr=0.01", "lora.r=4", "max_length=256"]


def train(base_model, folder, *settings):
    from trainer.train import train as run

    data = folder / "rows.jsonl"
    rows = [
        [{"role": "user", "content": f"{n} mean?"}, {"role": "assistant", "content": "x" * (n + 1)}]
        for n in range(6)
    ]
    data.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    output = folder / "run"
    places = {"model": str(base_model), "data": str(data), "output": str(output)}
    run(
        from_sources(None, [*SETTINGS, *settings], places),
        resume=False,
        overwrite=False,
        say=lambda _: None,
    )
    return output


def test_the_proof_is_in_the_log(base_model, tmp_path):
    log = (train(base_model, tmp_path) / "train.log").read_text()
    (line,) = [x for x in log.splitlines() if x.startswith("rows that share a pass differ by ")]
    assert float(line.split()[7]) < 1e-5


def test_the_proof_knows_how_large_a_leak_would_be(base_model, tmp_path):
    log = (train(base_model, tmp_path) / "train.log").read_text()
    (line,) = [x for x in log.splitlines() if x.startswith("rows that share a pass differ by ")]
    leak = float(line.partition("see each other by ")[2].split()[0])
    assert leak > 100 * selftest.TOLERANCE["fp32"]


@pytest.fixture
def leaking(monkeypatch):
    """Attention that lets a row see those before it in the pass."""
    plain = attention._row_by_row

    def leak(query, key, value, borders, *others):
        return plain(query, key, value, borders[[0, -1]], *others)

    monkeypatch.setattr(attention, "_row_by_row", leak)


def test_rows_that_see_each_other_end_the_run_before_it_begins(base_model, tmp_path, leaking):
    with pytest.raises(TrainingFailed, match="rows that share a pass are not what they are alone"):
        train(base_model, tmp_path)
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    assert [e.type for e in found if e.type in {"step", "failed"}] == ["failed"]
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("rows that share a pass differ by ") == 2
    assert "fp32 products in" in log


def test_one_row_that_sees_another_is_enough(base_model, tmp_path, monkeypatch):
    plain = attention._row_by_row

    def leak(query, key, value, borders, *others):
        return plain(query, key, value, borders[[0, 1, 2, -1]], *others)

    monkeypatch.setattr(attention, "_row_by_row", leak)
    with pytest.raises(TrainingFailed, match="measured again"):
        train(base_model, tmp_path)


@pytest.fixture
def glitch(monkeypatch):
    """A machine that once, in the first packed pass, computes something else."""
    plain, left = attention._row_by_row, [1]

    def once(*given):
        out = plain(*given)
        return out + left.pop() if left else out

    monkeypatch.setattr(attention, "_row_by_row", once)


def test_what_is_gone_when_measured_again_is_a_warning(base_model, tmp_path, glitch):
    output = train(base_model, tmp_path)
    found, _ = events.read(output / "events.jsonl")
    (said,) = [e.message for e in found if isinstance(e, events.Warning) and "share" in e.message]
    assert "measured again" in said
    assert "may not compute the same twice" in said


@pytest.mark.parametrize(
    ("apart", "noise", "leak", "explained"),
    [
        (4.5e-4, 0.0, 2.8, True),
        (4.5e-4, 0.0, 0.1, False),
        (4.5e-4, 2e-4, 0.1, True),
        (0.05, 0.0, 2.8, False),
        (float("inf"), 0.0, 2.8, False),
    ],
)
def test_a_difference_is_judged_by_what_a_leak_would_be(apart, noise, leak, explained):
    measured = selftest.Measured([(27, 0.0), (27, apart)], noise, leak)
    assert measured.explained("fp32") is explained


def test_the_way_out_that_is_named_is_one(base_model, tmp_path, leaking):
    output = train(base_model, tmp_path, "plan.tokens=1")
    assert (output / "adapter").is_dir()
    assert "share a pass" not in (output / "train.log").read_text()
