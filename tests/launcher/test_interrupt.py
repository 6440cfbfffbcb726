"""Ctrl-C as a terminal sends it: to the whole foreground group, through a pty."""

import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from launcher.runs import journal, run_folder
from tests.terminal import Terminal
from trainer.contract import events


@pytest.fixture
def terminal(folder, command) -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for one in opened:
        one.close()


@pytest.fixture
def on_terminal(folder, command, terminal) -> Callable[[str], Terminal]:
    def begin(behaviour: str) -> Terminal:
        arguments = ("train", "--data", "data.jsonl", "--run-id", "a")
        shown = Terminal(command(behaviour, *arguments), folder)
        terminal.append(shown)
        return shown

    return begin


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_resume(folder, on_terminal):
    shown = on_terminal("slow")
    shown.until(r"step \d+/200")
    shown.ctrl_c()

    assert shown.wait() == 130
    assert re.search(r"checkpoint saved at step \d+; nothing keeps running", shown.text)
    assert "resume with: launch train --resume a" in shown.text
    assert "Traceback" not in shown.text
    assert "loss" in shown.text
    run = run_folder.at(folder / "runs" / "a")
    assert isinstance(events.read(run.events)[0][-1], events.Failed)
    assert not run_folder.is_locked(run.trainer_lock)


def test_a_second_ctrl_c_ends_a_trainer_that_does_not_listen(folder, on_terminal):
    shown = on_terminal("deaf")
    shown.until(r"step \d+/200")
    shown.ctrl_c()
    shown.until("Ctrl-C again kills the trainer")
    shown.ctrl_c()

    assert shown.wait() == 130
    assert "no new checkpoint" in shown.text
    assert not run_folder.is_locked(folder / "runs" / "a" / ".trainer.lock")


def test_ctrl_c_before_the_first_step(on_terminal):
    shown = on_terminal("early")
    shown.until("run a in ")
    time.sleep(0.3)
    shown.ctrl_c()
    assert shown.wait() == 130
    assert "resume with: launch train --resume a" in shown.text


def test_sigterm_to_the_launcher_saves_too(on_terminal):
    shown = on_terminal("slow")
    shown.until(r"step \d+/200")
    shown.process.send_signal(signal.SIGTERM)
    assert shown.wait() == 130
    assert "checkpoint saved at step" in shown.text


def test_stop_from_a_second_terminal_takes_the_run_over(folder, on_terminal, launch):
    shown = on_terminal("slow")
    shown.until(r"step \d+/200")
    stopped = launch("stop", "a")

    assert stopped.returncode == 0, stopped.stderr
    assert re.search(r"another launch \(process \d+\) .*: asking it to exit", stopped.stdout)
    assert re.search(r"checkpoint saved at step \d+; nothing keeps running", stopped.stdout)
    assert shown.wait() == 130
    assert "run a is being stopped from another terminal" in shown.text
    run = run_folder.at(folder / "runs" / "a")
    assert not run_folder.is_locked(run.trainer_lock)
    assert not run.stop_request.exists()
    written = [(entry.what, entry.stage) for entry in journal.read(run.journal)]
    assert written[-4:] == [
        ("left", "fact"),
        ("stop", "intent"),
        ("stop", "done"),
        ("ended", "fact"),
    ]
