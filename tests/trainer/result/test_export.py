import json
import re
import shutil

import pytest

from trainer import __main__ as command
from trainer.contract import manifest
from trainer.contract.command.errors import (
    ModelUnavailable,
    ResultRejected,
    TrainingFailed,
    run_main,
)
from trainer.contract.job import from_sources
from trainer.result import export


def call(*arguments):
    return run_main(command._main, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def run(base_model, tmp_path_factory):
    from trainer.start_training import train

    folder = tmp_path_factory.mktemp("export")
    data = folder / "rows.jsonl"
    rows = [
        [{"role": "user", "content": f"{n} mean?"}, {"role": "assistant", "content": "submit(1)"}]
        for n in range(6)
    ]
    data.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    places = {"model": str(base_model), "data": str(data), "output": str(folder / "run")}
    settings = ["max_steps=12", "batch_size=6", "lr=0.02", "lora.r=4", "max_length=256"]
    job = from_sources(None, settings, places)
    train(job, resume=False, overwrite=False, say=lambda _: None)
    return folder / "run"


def test_the_adapter_can_be_served_by_vllm(run):
    """It takes LoRA pairs of known modules alone: no embedding, no head, no name of PEFT's own."""
    tensors = manifest.safetensors_header(run / "adapter" / "adapter_model.safetensors")
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    layers = r"base_model\.model\.model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
    for name in tensors:
        assert re.fullmatch(rf"{layers}\.lora_[AB]\.weight", name), name
    assert len(tensors) == 2 * 7 * 2
    assert not config["modules_to_save"]
    assert config["bias"] == "none"


def test_the_merged_model_answers_as_the_adapter_does(run, tmp_path, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "merged"
    assert call(run, "--merge", "--out", out) == 0
    shown = capsys.readouterr().out
    losses = [
        float(word.rstrip(",")) for word in shown.partition("training data: ")[2].split()[1:6:2]
    ]
    base, adapter, merged = losses
    assert adapter < base - 0.5
    assert merged == pytest.approx(adapter, abs=0.02)
    network = AutoModelForCausalLM.from_pretrained(out)
    assert network.dtype == torch.bfloat16
    assert not (out / "adapter_config.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == (run / "adapter" / "chat_template.jinja").read_text()
    assert (out / "Modelfile").read_text().startswith("FROM .\n")
    assert f"| merged | {merged:.4f} |" in (out / "README.md").read_text()
    assert not list(tmp_path.glob(".*"))
    assert call(run, "--merge", "--out", out) == 5


def test_generation_of_the_merged_model_ends_with_the_turn(run, tmp_path, base_model):
    base = tmp_path / "base"
    shutil.copytree(base_model, base)
    (base / "generation_config.json").write_text('{"eos_token_id": 0}')
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    job = json.loads((copy / "job.json").read_text()) | {"model": str(base)}
    (copy / "job.json").write_text(json.dumps(job))
    found = manifest.load(copy / manifest.NAME)
    files = manifest.hash_files(copy, list(found.files))
    found.model_copy(update={"files": files}).write(copy / manifest.NAME)
    export.merge(copy, tmp_path / "out", data=None, say=lambda _: None)
    ends = json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    assert ends == [0, 2]


def test_a_base_that_was_moved_is_given(run, tmp_path, base_model, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    job = json.loads((copy / "job.json").read_text()) | {"model": str(tmp_path / "gone")}
    (copy / "job.json").write_text(json.dumps(job))
    found = manifest.load(copy / manifest.NAME)
    files = manifest.hash_files(copy, list(found.files))
    found.model_copy(update={"files": files}).write(copy / manifest.NAME)
    merge = [copy, "--merge", "--out", tmp_path / "out"]
    assert call(*merge) == ModelUnavailable.exit_code
    assert "if the base was moved, give its folder or hub id with --base" in capsys.readouterr().err
    assert call(*merge, "--base", base_model) == 0


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_a_merge_that_changes_the_answers_is_no_result(run, tmp_path, monkeypatch, scale):
    from peft.tuners.tuners_utils import BaseTuner

    whole = BaseTuner.merge_and_unload

    def merge(model, *args, **kwargs):
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                weight.data *= scale
        return whole(model, *args, **kwargs)

    monkeypatch.setattr(BaseTuner, "merge_and_unload", merge)
    with pytest.raises(ResultRejected, match="the merged model differs from the adapter"):
        export.merge(run, tmp_path / "out", data=None, say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_merge_that_runs_out_of_memory_says_so(run, tmp_path, capsys, monkeypatch):
    def full(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(export, "log_probs", full)
    assert call(run, "--merge", "--out", tmp_path / "out") == TrainingFailed.exit_code
    assert "out of memory while merging: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_merged_is_named(run, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    other.write_text('{"messages": []}\n')
    assert call(run) == 2
    assert call(tmp_path, "--merge") == 11
    assert call(run, "--merge", "--data", tmp_path / "none") == 11
    assert "give its path with --data" in capsys.readouterr().err
    rows = next(run.parent.glob("*.jsonl")).read_text().splitlines()
    other.write_text("\n".join(rows[:2]) + "\n")
    assert call(run, "--merge", "--data", other) == 13
    assert not (run / "merged").exists()


def test_what_would_be_sent_is_shown_and_nothing_is_sent(run, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: 1 / 0)
    assert call(run, "--push", "me/mine", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "would upload to https://huggingface.co/me/mine (private)" in shown
    assert "  adapter_model.safetensors\n" in shown


def test_it_is_sent_to_a_private_repository(run, capsys, monkeypatch):
    sent: list[object] = []

    class Api:
        def create_repo(self, name, *, private, exist_ok):
            sent.append((name, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path):
            sent.append((repo_id, folder_path))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert call(run, "--push", "me/mine") == 0
    assert sent == [("me/mine", True, True), ("me/mine", run / "adapter")]


def test_without_a_token_it_says_what_is_missing(run):
    with pytest.raises(ModelUnavailable, match="me/mine cannot be written"):
        export.push(run / "adapter", "me/mine", send=True, say=lambda _: None)
