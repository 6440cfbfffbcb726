"""datagen sandbox."""

import json

import pytest

from datagen.cli import main
from trainer.contract.command.errors import SandboxUnsafe, Usage


def test_level_here_is_told_with_what_it_consists_of(box, capsys):
    assert main(["sandbox"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"sandbox {box.level}, on ")
    assert [line.split()[0] for line in others[: len(box.layers) + 1]] == [*box.layers, "always"]


@pytest.fixture(autouse=True)
def _setting_is_put_back(monkeypatch):
    monkeypatch.setenv("SFT_SANDBOX", "")


def test_lower_level_says_what_it_leaves_open(capsys):
    assert main(["sandbox", "--sandbox", "reduced"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("sandbox reduced, on ")
    assert "a cell can read your files" in text
    assert "seccomp" not in text


def test_none_needs_to_be_asked_for(capsys, monkeypatch):
    from datagen.sandbox import connection

    monkeypatch.setenv("SFT_SANDBOX", "none")
    assert main(["sandbox", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"level": "none", "layers": [], "service": None}
    with pytest.raises(SandboxUnsafe):
        connection.check_level(wanted=None, obtained="none")


@pytest.mark.parametrize("verb", ["questions", "episodes", "evaluate", "sandbox"])
def test_every_verb_that_runs_code_takes_a_place(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert "--sandbox WHERE" in capsys.readouterr().out


def test_wrong_place_is_one_message(capsys):
    assert main(["sandbox", "--sandbox", "docker"]) == Usage.exit_code
    assert "unknown sandbox 'docker'" in capsys.readouterr().err
