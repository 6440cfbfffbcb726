"""Ctrl-C as a terminal sends it: to the whole foreground group, through a pty."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.runs import journal, run_folder
from trainer.contract import events


class Terminal:
    """``launch`` on a terminal of 80 columns."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.text = ""
        self._fd, inner = pty.openpty()
        # The new session's first open of the terminal makes it the controlling one, as a shell has it.
        own = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", own, *command],
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def until(self, pattern: str, *, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} never came:\n{self.text}"
            if select.select([self._fd], [], [], left)[0] and not self._read():
                break
        assert re.search(pattern, self.text), self.text

    def ctrl_c(self) -> None:
        os.write(self._fd, b"\x03")

    def wait(self) -> int:
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        try:
            block = os.read(self._fd, 65536)
        except OSError:
            return False
        self.text += block.decode(errors="replace")
        return bool(block)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


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
