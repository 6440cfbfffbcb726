import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainer import __main__ as command
from trainer.contract import events, manifest
from trainer.contract.command.errors import NoSpace, ResultRejected, run_main
from trainer.contract.job import Job, from_sources

SETTINGS = ["max_steps=4", "batch_size=2", "lr=0.02", "lora.r=4", "max_length=256"]


@pytest.fixture(scope="module")
def whole(base_model, tmp_path_factory):
    """A finished run with checkpoints at steps 2 and 4."""
    from trainer.start_training import train

    folder = tmp_path_factory.mktemp("whole")
    row = {"role": "user", "content": "mean?"}, {"role": "assistant", "content": "submit(1)"}
    data = folder / "rows.jsonl"
    data.write_text((json.dumps({"messages": row}) + "\n") * 4)
    job = from_sources(
        None,
        [*SETTINGS, "checkpoint.steps=2"],
        {"model": str(base_model), "data": str(data), "output": str(folder / "run")},
    )
    train(job, resume=False, overwrite=False, say=lambda _: None)
    return job


@pytest.fixture
def cut(whole, tmp_path):
    """The same run as it is when it ends after step 2; the data are gone."""
    output = tmp_path / "run"
    shutil.copytree(whole.output, output)
    for name in ("adapter", "checkpoints/checkpoint-4"):
        shutil.rmtree(output / name)
    for name in ("manifest.json", "loss.png", "events.jsonl"):
        (output / name).unlink()
    job = whole.model_copy(update={"output": str(output), "data": str(tmp_path / "gone.jsonl")})
    (tmp_path / "job.json").write_text(job.to_json())
    return tmp_path / "job.json"


def call(*arguments):
    return run_main(command._main, [str(a) for a in arguments])


def test_the_newest_checkpoint_becomes_a_result_that_is_not_complete(cut, capsys):
    output = cut.parent / "run"
    assert call(cut, "--from-checkpoint") == 0
    found = manifest.verify(output)
    assert not found.complete
    assert found.reload_proof is None
    assert (found.metrics["steps"], found.metrics["steps_planned"]) == (2, 4)
    weights = "adapter_model.safetensors"
    saved = (output / "adapter" / weights).read_bytes()
    assert saved == (output / "checkpoints/checkpoint-2" / weights).read_bytes()
    assert (output / "loss.png").stat().st_size > 1000
    assert [e.type for e in events.read(output / "events.jsonl")[0]] == ["saved", "done"]
    assert "step 2" in capsys.readouterr().out


def test_a_salvaged_adapter_loads_with_its_tokenizer(whole, cut):
    from trainer.library_log import library_output_to

    assert call(cut, "--from-checkpoint") == 0
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = cut.parent / "run" / "adapter"
    names = {path.name for path in adapter.iterdir()}
    assert {"optimizer.pt", "trainer_state.json", "checkpoint.json"}.isdisjoint(names)
    with library_output_to(cut.parent / "log"):
        base = AutoModelForCausalLM.from_pretrained(whole.model)
        PeftModel.from_pretrained(base, adapter)
    assert AutoTokenizer.from_pretrained(adapter).chat_template


def test_a_salvaged_run_can_be_gone_on_with(whole, cut):
    assert call(cut, "--from-checkpoint") == 0
    job = whole.model_copy(update={"output": str(cut.parent / "run")})
    cut.write_text(job.to_json())
    assert call(cut, "--resume") == 0
    told = events.read(cut.parent / "run" / "events.jsonl")[0]
    assert not [e.message for e in told if isinstance(e, events.Warning)]
    found = manifest.verify(cut.parent / "run")
    assert found.complete
    assert found.metrics["steps"] == 4


def test_a_whole_result_is_left_alone(whole, tmp_path, capsys):
    (tmp_path / "job.json").write_text(whole.to_json())
    before = manifest.load(Path(whole.output) / "manifest.json")
    assert call(tmp_path / "job.json", "--from-checkpoint") == 0
    assert "is complete" in capsys.readouterr().out
    assert manifest.verify(Path(whole.output)) == before


def test_a_checkpoint_that_is_cut_gives_way_to_the_one_before(whole, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(whole.output, output)
    (output / "manifest.json").unlink()
    path = output / "checkpoints/checkpoint-4/adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    job = whole.model_copy(update={"output": str(output)})
    (tmp_path / "job.json").write_text(job.to_json())
    assert call(tmp_path / "job.json", "--from-checkpoint") == 0
    assert manifest.verify(output).metrics["steps"] == 2
    told = [e for e in events.read(output / "events.jsonl")[0] if isinstance(e, events.Warning)]
    assert "checkpoint-4" in told[-1].message


def test_values_that_are_no_numbers_are_no_result(cut):
    from safetensors.torch import load_file, save_file

    path = cut.parent / "run/checkpoints/checkpoint-2/adapter_model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, path)
    assert call(cut, "--from-checkpoint") == ResultRejected.exit_code
    assert not (cut.parent / "run" / "manifest.json").exists()


def test_without_a_checkpoint_there_is_nothing_to_save(cut, capsys):
    shutil.rmtree(cut.parent / "run" / "checkpoints")
    assert call(cut, "--from-checkpoint") == 11
    assert "no checkpoint" in capsys.readouterr().err


def test_events_go_to_an_inherited_pipe_without_numbers(cut):
    ours, theirs = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "trainer", str(cut), "--from-checkpoint"],
        env={**os.environ, "SFT_EVENTS_FD": str(theirs)},
        pass_fds=[theirs],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    with os.fdopen(ours, "rb") as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [line["type"] for line in lines] == ["saved", "done"]
    assert all("seq" not in line and "time" not in line for line in lines)
    assert not (cut.parent / "run" / "events.jsonl").exists()


def test_the_job_is_left_in_the_run_folder(cut):
    job_file = cut.parent / "run" / "job.json"
    job_file.unlink()
    assert call(cut, "--from-checkpoint") == 0
    assert Job.from_json(job_file).hash() == Job.from_json(cut).hash()


def test_on_a_full_disk_the_oldest_checkpoints_give_way(whole, tmp_path, monkeypatch):
    from trainer.result import publish

    output = tmp_path / "run"
    shutil.copytree(whole.output, output)
    (output / "manifest.json").unlink()
    torn = output / "checkpoints" / "checkpoint-5"
    torn.mkdir()
    real = publish.draw_loss

    def draw(history, path):
        assert not torn.exists()
        if (output / "checkpoints" / "checkpoint-2").exists():
            raise OSError(28, "No space left on device")
        real(history, path)

    monkeypatch.setattr(publish, "draw_loss", draw)
    job = whole.model_copy(update={"output": str(output)})
    (tmp_path / "job.json").write_text(job.to_json())
    assert call(tmp_path / "job.json", "--from-checkpoint") == 0
    assert manifest.verify(output).metrics["steps"] == 4


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at inline_container.cc:672] . unexpected pos 594688 vs 594576",
        "I/O error: No space left on device (os error 28)",
    ],
)
def test_a_full_disk_in_the_words_of_torch_and_safetensors(whole, text):
    from trainer.start_training import _as_fault

    assert isinstance(_as_fault(RuntimeError(text), whole), NoSpace)
    assert _as_fault(RuntimeError("index out of range"), whole) is None
