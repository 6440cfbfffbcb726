"""`datagen compare`: any two saved results, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from datagen.cli import main
from datagen.episode import write_episodes
from tests.datagen.answered import both


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """A run folder with base and adapter, and one model's transcript elsewhere: better than both."""
    base, adapter = both(30, 2, 40, tables=12)
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir(parents=True)
    write_episodes(folder / "base.jsonl", base)
    write_episodes(folder / "adapter.jsonl", adapter)
    other = tmp_path / "other"
    other.mkdir()
    write_episodes(other / "model.jsonl", base)
    return tmp_path / "run", other


def figures(capsys, *arguments: object) -> Any:
    assert main(["compare", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: object) -> tuple[int, str]:
    code = main(["compare", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


def test_a_run_an_evaluation_folder_and_a_transcript(runs, capsys):
    run, other = runs
    for first in (other, run / "evaluation" / "base.jsonl", other / "model.jsonl"):
        for second in (run, run / "evaluation"):
            assert figures(capsys, first, second)["verdict"] == "B is BETTER than A by +0.389"
    assert figures(capsys, run, other)["verdict"] == "B is WORSE than A by -0.389"


def test_it_is_told_and_written(runs, capsys, tmp_path: Path):
    run, other = runs
    out = tmp_path / "new" / "found.json"
    assert main(["compare", str(other), str(run), "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"A: {other / 'model.jsonl'} (m)"
    assert told[-1] == json.loads(out.read_text())["verdict"] == "B is BETTER than A by +0.389"
    code, text = refused(capsys, other, run, "--out", out)
    assert code == 5
    assert "already exists" in text


def test_no_overlap(runs, capsys):
    run, other = runs
    lines = (other / "model.jsonl").read_text()
    (other / "model.jsonl").write_text(lines.replace('"id":"q', '"id":"z'))
    code, text = refused(capsys, run, other)
    assert code == 3
    assert "no question in common" in text


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-40], "incomplete: the last line is cut off"),
        (
            lambda text: text.replace('{"v":1', '{"v":7', 1),
            ":1: v: unknown version 7: this datagen reads version 1",
        ),
        (lambda text: "", "no episodes"),
        (lambda text: "null\n", ":1: "),
    ],
    ids=["torn", "version", "empty", "other"],
)
def test_a_damaged_file_is_named(runs, capsys, damage, said):
    run, other = runs
    file = other / "model.jsonl"
    file.write_text(damage(file.read_text()))
    code, text = refused(capsys, run, other)
    assert code == 3
    assert said in text
    assert str(file) in text


def test_a_folder_without_a_result(runs, capsys, tmp_path: Path):
    code, text = refused(capsys, runs[0], tmp_path / "gone")
    assert code == 11
    assert "no evaluation result found" in text
