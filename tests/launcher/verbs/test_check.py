from pathlib import Path

from launcher import cli
from launcher.world import World
from trainer.contract.job import Job


def test_the_trainer_judges_the_resolved_job(monkeypatch, tmp_path):
    seen = []

    def run_in_foreground(self, command):
        seen.append((command, Job.from_json(Path(command[command.index("check") + 1]))))
        return 3 if "--json" in command else 0

    monkeypatch.setattr(World, "run_in_foreground", run_in_foreground)
    page = str(tmp_path / "page.html")
    assert cli.main(["check", "--recipe", "tiny", "--data", "d.jsonl", "--html", page]) == 0
    assert cli.main(["check", "--json"]) == 3  # its own exit code, and no message beside its own
    (command, job), (plain, _) = seen
    assert command[-2:] == ["--html", page]
    assert plain[-1] == "--json"
    assert (job.model, job.data) == ("bundled:tiny", "d.jsonl")


def test_a_wrong_job_is_refused_here(capsys):
    assert cli.main(["check", "--lr", "fast"]) == 4
    assert "--lr" in capsys.readouterr().err
