"""Training on a real pretrained model. Judge: its own eager attention in transformers, and a plain PEFT load."""

import json
import random
import re
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
from peft.tuners.tuners_utils import BaseTuner

from tests.system.real_model import folder
from trainer.attention import kernels
from trainer.attention.choice import Choice
from trainer.contract import manifest
from trainer.contract.command.errors import ModelUnavailable, ResultRejected, TrainingFailed
from trainer.contract.job import from_sources
from trainer.result import export

pytestmark = pytest.mark.timeout(1800)

CITIES = "Paris London Tokyo Berlin Madrid Rome Oslo Lima Cairo Delhi Quito Hanoi".split()


@pytest.fixture(scope="module")
def base() -> Path:
    try:
        return folder()
    except ModelUnavailable as fault:
        pytest.skip(f"a real model: {fault}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows as our episodes have them: a table in the question, one line of code in the answer."""
    draw = random.Random(0)

    def chat(lines: int) -> list[dict[str, str]]:
        table = "\n".join(
            f"{draw.choice(CITIES)},{draw.randint(1990, 2024)},{draw.uniform(1, 900):.2f}"
            for _ in range(lines)
        )
        question = f"df begins:\ncity,year,price\n{table}\nWhat is the mean price in {draw.choice(CITIES)}?"
        answer = f"submit(df[df['city'] == '{draw.choice(CITIES)}']['price'].mean())"
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    path = tmp_path_factory.mktemp("real") / "rows.jsonl"
    chats = [chat(lines) for lines in (3, 5, 8, 52)]
    path.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in chats))
    return path


def train(base, data, output, precision):
    from trainer.start_training import train as run

    settings = ["max_steps=2", "batch_size=2", "lr=5e-4", "lora.r=4", f"precision={precision}"]
    places = {"model": str(base), "data": str(data), "output": str(output)}
    job = from_sources(None, settings, places)
    run(job, resume=False, overwrite=False, say=lambda _: None)


@pytest.fixture(scope="module")
def run_in(base, data, tmp_path_factory):
    """Train in a precision, once; return the run folder."""

    @cache
    def made(precision: str) -> Path:
        output: Path = tmp_path_factory.mktemp(precision) / "run"
        train(base, data, output, precision)
        return output

    return made


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4"])
def test_a_real_model_is_trained_and_proved(run_in, precision):
    run = run_in(precision)
    found = manifest.verify(run)
    assert found.complete
    proof = found.reload_proof
    assert proof is not None
    assert proof.max_abs_diff <= proof.tolerance < proof.base_max_abs_diff / 100
    log = (run / "train.log").read_text()
    for line in (line for line in log.splitlines() if line.startswith("attention: ")):
        apart, rounding, fault = map(float, re.findall(r"by (\d\.\de[+-]\d\d)", line))
        assert apart <= max(2 * rounding, 1e-4)
        assert fault > 4 * rounding


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_merge_is_told_from_one_that_lost_half_of_the_adapter(
    run_in, tmp_path, monkeypatch, scale
):
    """In bf16 the merged model's loss was off by 0.03, which a fixed limit of 0.02 had refused."""
    whole = BaseTuner.merge_and_unload

    def merge(model, *args, **kwargs):
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.data *= scale
        return whole(model, *args, **kwargs)

    monkeypatch.setattr(BaseTuner, "merge_and_unload", merge)
    expected = nullcontext() if scale == 1.0 else pytest.raises(ResultRejected, match="is rounding")
    with expected:
        export.merge(run_in("bf16"), tmp_path / "merged", data=None, say=lambda _: None)
    assert (tmp_path / "merged").exists() is (scale == 1.0)


def test_rows_that_see_each_other_are_refused_in_bf16(base, data, tmp_path, monkeypatch):
    plain = kernels.attend

    def leak(*states, **keywords):
        if (borders := keywords.get("cu_seq_lens_q")) is not None:
            keywords["cu_seq_lens_q"] = borders[[0, -1]]
        return plain(*states, **keywords)

    monkeypatch.setattr(kernels, "attend", leak)
    # The proof on a small model would notice too, and have each row alone.
    monkeypatch.setattr("trainer.data.prepare.choose", lambda *_, packed, **__: Choice(packed))
    with pytest.raises(TrainingFailed, match="attention over packed rows is not the model's own"):
        train(base, data, tmp_path / "run", "bf16")
