import json

import pytest

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


@pytest.fixture
def leaking(monkeypatch):
    """Attention that lets a row see those before it in the pass."""
    from trainer import attention

    plain = attention._row_by_row

    def leak(query, key, value, borders, scaling):
        return plain(query, key, value, borders[[0, -1]], scaling)

    monkeypatch.setattr(attention, "_row_by_row", leak)


def test_rows_that_see_each_other_end_the_run_before_it_begins(base_model, tmp_path, leaking):
    with pytest.raises(TrainingFailed, match="rows that share a pass are not what they are alone"):
        train(base_model, tmp_path)
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    assert [e.type for e in found if e.type in {"step", "failed"}] == ["failed"]


def test_the_way_out_that_is_named_is_one(base_model, tmp_path, leaking):
    output = train(base_model, tmp_path, "plan.tokens=1")
    assert (output / "adapter").is_dir()
    assert "share a pass" not in (output / "train.log").read_text()
