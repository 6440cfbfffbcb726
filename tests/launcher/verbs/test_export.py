from launcher import cli
from launcher.world import World


def test_the_trainer_makes_it_of_the_runs_folder(monkeypatch, tmp_path, capsys):
    seen = []
    monkeypatch.setattr(World, "finish", lambda self, command, **_: seen.append(command))
    run = tmp_path / "run"
    run.mkdir()
    assert cli.main(["export", str(run), "--merge"]) == 11
    (run / "manifest.json").write_text("{}")
    out = str(tmp_path / "out")
    assert (
        cli.main(["export", str(run), "--merge", "--out", out, "--push", "a/b", "--dry-run"]) == 0
    )
    (command,) = seen
    assert command[command.index("-m") + 1 :] == [
        *["trainer", "export", str(run), "--merge", f"--out={out}", "--push=a/b", "--dry-run"]
    ]
    assert "contains no run" in capsys.readouterr().err
