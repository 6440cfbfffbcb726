"""Which view stdout gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.live import LiveView
from launcher.screen import open_view
from launcher.view import JsonView, PlainView
from launcher.world import World


def test_a_pipe_gets_plain_lines_or_json(capsys):
    assert type(open_view(world=World())) is PlainView
    assert type(open_view(world=World(), as_json=True)) is JsonView


def test_a_terminal_gets_the_picture_if_it_can(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    assert type(open_view(world=World())) is LiveView
    monkeypatch.setenv("TERM", "dumb")
    assert type(open_view(world=World())) is PlainView


@pytest.mark.parametrize("as_json", [False, True])
def test_text_that_the_terminal_cannot_write_does_not_end_the_story(as_json):
    code = (
        "from launcher.screen import open_view; from launcher.world import World\n"
        f"with open_view(world=World(), as_json={as_json}) as view: view.say('k\u00f6rper \u2192')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    if as_json:
        assert json.loads(done.stdout)["text"] == "k\u00f6rper \u2192"
    else:
        assert done.stdout == b"k\\xf6rper \\u2192\n"
