"""Judge: transformers' own eager attention, on the very model and rows."""

import json
import re

import pytest

from trainer.attention import kernels
from trainer.attention.choice import Choice
from trainer.contract import events
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import from_sources

SETTINGS = ["max_steps=1", "batch_size=4", "lr=0.01", "lora.r=4", "max_length=256"]
REFUSED = "attention over packed rows is not the model's own"


def train(base_model, folder, *settings):
    from trainer.start_training import train as run

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


def measured(output):
    """(packed against own, eager against sdpa, with a leak) of each line in the log."""
    log = (output / "train.log").read_text()
    return [
        [float(x) for x in re.findall(r"by (\d\.\de[+-]\d\d)", line)]
        for line in log.splitlines()
        if line.startswith("attention: ")
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4"])
def test_the_measurement_is_in_the_log_and_a_leak_would_be_seen(base_model, tmp_path, precision):
    before, after = measured(train(base_model, tmp_path, f"precision={precision}"))
    for apart, rounding, fault in (before, after):
        assert apart <= max(4 * rounding, 1e-5)
        assert fault > 10 * rounding
        assert fault > 10 * apart


def rows_see_each_other(keywords):
    keywords["cu_seq_lens_q"] = keywords["cu_seq_lens_q"][[0, -1]]


def one_row_sees_another(keywords):
    keywords["cu_seq_lens_q"] = keywords["cu_seq_lens_q"][[0, 1, 2, -1]]


def wrong_scale(keywords):
    keywords["scaling"] = keywords["scaling"] * 3


MUTANTS = [rows_see_each_other, one_row_sees_another, wrong_scale]


@pytest.fixture
def mutate(monkeypatch):
    """Change what attention over packed rows is given, in every call or in the first ``calls``."""

    def apply(change, calls=10**9):
        plain, left = kernels.attend, [calls]

        def attend(*states, **keywords):
            if keywords.get("cu_seq_lens_q") is not None and left[0] > 0:
                left[0] -= 1
                change(keywords)
            return plain(*states, **keywords)

        monkeypatch.setattr(kernels, "attend", attend)
        # The proof on a small model would notice too, and have each row alone.
        monkeypatch.setattr("trainer.data.prepare.choose", lambda *_, packed, **__: Choice(packed))

    return apply


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("change", MUTANTS)
def test_wrong_attention_ends_the_run_before_it_begins(
    base_model, tmp_path, mutate, change, precision
):
    mutate(change)
    with pytest.raises(TrainingFailed, match=REFUSED):
        train(base_model, tmp_path, f"precision={precision}")
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    assert [e.type for e in found if e.type in {"step", "failed"}] == ["failed"]
    assert len(measured(tmp_path / "run")) == 2
    assert "fp32 products in" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize("change", MUTANTS)
def test_the_proof_after_training_notices_wrong_attention_too(
    base_model, tmp_path, mutate, change, monkeypatch
):
    monkeypatch.setattr("trainer.loop.loop.prove_attention", lambda *_, **__: None)
    mutate(change)
    with pytest.raises(TrainingFailed, match=REFUSED):
        train(base_model, tmp_path)
    assert not (tmp_path / "run" / "adapter").exists()


def test_what_is_gone_when_measured_again_is_a_warning(base_model, tmp_path, mutate):
    mutate(wrong_scale, calls=2)  # the two layers of one pass
    output = train(base_model, tmp_path)
    found, _ = events.read(output / "events.jsonl")
    (said,) = [
        e.message for e in found if isinstance(e, events.Warning) and "attention" in e.message
    ]
    assert "measured again" in said
    assert "may compute wrong results" in said


def test_the_way_out_that_is_named_works(base_model, tmp_path, mutate):
    mutate(rows_see_each_other)
    with pytest.raises(TrainingFailed) as refused:
        train(base_model, tmp_path)
    (setting,) = re.findall(r"--set (\S+)", refused.value.hint)
    output = train(base_model, tmp_path, setting)
    assert (output / "adapter").is_dir()
