"""The verb: one prompt, a pipe of them, JSON; which system prompt is used."""

import io
import json
import shutil
from pathlib import Path

import pytest

from datagen.cli import main
from tests.datagen.chat.conftest import adapter  # noqa: F401 fixture
from trainer.contract.job import from_sources

ROW = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


@pytest.fixture
def run(adapter, tmp_path, monkeypatch):  # noqa: F811
    """A run's folder, which is the working folder too."""
    shutil.copytree(adapter, tmp_path / "run" / "adapter")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def chat(capsys, *flags):
    code = main(["chat", "--model", "run", "--tokens", "8", *flags])
    return code, *capsys.readouterr()


def test_one_prompt_and_json(run, capsys):
    code, text, told = chat(capsys, "--prompt", "hello")
    assert code == 0
    assert text.startswith("base\n")
    assert "\n\nadapter\n" in text
    assert "system prompt: none (there is no job.json beside the adapter)" in told
    _, shown, _ = chat(capsys, "-p", "hello", "--json")
    found = json.loads(shown)
    assert [*found] == ["prompt", "base", "adapter"]
    for label in ("base", "adapter"):
        _, alone, _ = chat(capsys, "-p", "hello", "--only", label)
        assert alone.rstrip() == found[label]["text"].rstrip()


def test_a_pipe_has_one_prompt_a_line(run, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("hello\n\n/adapter\n/tabel\nhello\n/quit\nno\n"))
    code, shown, told = chat(capsys, "--json")
    assert code == 0
    assert [[*json.loads(line)] for line in shown.splitlines()] == [
        ["prompt", "base", "adapter"],
        ["prompt", "adapter"],
    ]
    assert "error: unknown command /tabel\n  -> did you mean /table?" in told


def test_a_prompt_that_is_too_long_ends_with_a_message(run, capsys):
    code, _, told = chat(capsys, "-p", "word " * 2100)
    assert code == 2
    assert "the context is full" in told
    assert "ask a shorter question" in told


@pytest.mark.parametrize(
    ("systems", "told"),
    [
        (["Be kind."] * 2, 'system prompt: "Be kind.", as in all 2 training rows'),
        (
            ["Be kind.", "Be short."],
            "system prompt: none (2 different ones in the 2 training rows)",
        ),
        ([], "system prompt: none (the training rows, rows.jsonl, cannot be read)"),
        (["", ""], "system prompt: none, as in the training rows"),
    ],
)
def test_the_system_prompt_is_the_training_rows_own(run, capsys, systems, told):
    job = from_sources("tiny", flags={"data": "rows.jsonl", "output": "run"})
    (run / "job.json").write_text(job.to_json(), "utf-8")
    if systems:
        rows = [
            {"messages": [*([{"role": "system", "content": text}] if text else []), *ROW]}
            for text in systems
        ]
        with Path("rows.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    _, _, shown = chat(capsys, "-p", "hello", "--json")
    assert told in shown
    _, _, shown = chat(capsys, "-p", "hello", "--json", "--system", "Be loud.")
    assert "system prompt" not in shown


def test_no_adapter(run, capsys):
    shutil.rmtree(run / "adapter")
    (run / "job.json").write_text("{}")
    assert chat(capsys)[0] == 11
    assert main(["chat", "--model", "bundled:tiny", "--only", "adapter"]) == 2
    assert "bundled:tiny is not an adapter" in capsys.readouterr().err
