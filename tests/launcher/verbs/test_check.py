from pathlib import Path

import pytest

from launcher import cli
from launcher.world import World
from trainer.contract.job import Job

ROW = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}'


@pytest.fixture
def rows(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("d.jsonl").write_text(f"{ROW}\n" * 3)


def test_the_trainer_judges_the_resolved_job(monkeypatch, tmp_path, rows):
    seen = []

    def run_in_foreground(self, command):
        seen.append((command, Job.from_json(Path(command[command.index("check") + 1]))))
        return 3 if "--json" in command else 0

    monkeypatch.setattr(World, "run_in_foreground", run_in_foreground)
    page = str(tmp_path / "page.html")
    assert cli.main(["check", "--recipe", "tiny", "--data", "d.jsonl", "--html", page]) == 0
    assert (
        cli.main(["check", "--data", "d.jsonl", "--json"]) == 3
    )  # its own exit code, and no message beside its own
    (command, job), (plain, _) = seen
    assert command[-2:] == ["--html", page]
    assert plain[-1] == "--json"
    assert (job.model, job.data) == ("bundled:tiny", "d.jsonl")


def test_missing_files_are_told_before_anything_is_loaded(monkeypatch, rows, capsys):
    monkeypatch.delattr(World, "run_in_foreground")
    assert cli.main(["check", "--data", "none.jsonl", "--model", "./none"]) == 11
    shown = capsys.readouterr().err
    assert "1. none.jsonl does not exist" in shown
    assert "2. the model folder ./none does not exist" in shown
    assert cli.main(["check"]) == 11
    assert "name your rows with: --data FILE" in capsys.readouterr().err


def test_without_the_models_tokenizer_the_rows_are_still_read(monkeypatch, rows, capsys):
    monkeypatch.setattr(World, "run_in_foreground", lambda self, command: 7)
    assert cli.main(["check", "--data", "d.jsonl"]) == 7
    shown = capsys.readouterr().out
    assert shown.startswith("checked without the model: 3 rows can be read\n")
    assert "not checked: which tokens this model's chat template trains" in shown
    assert cli.main(["check", "--data", "d.jsonl", "--json"]) == 7
    assert capsys.readouterr().out == ""


def test_a_wrong_job_is_refused_here(capsys):
    assert cli.main(["check", "--lr", "fast"]) == 4
    assert "--lr" in capsys.readouterr().err
