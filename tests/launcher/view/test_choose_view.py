"""Which view stdout gets."""

from launcher.view.choose_view import open_view
from launcher.view.live import LiveView
from launcher.view.plain import JsonView, PlainView
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
