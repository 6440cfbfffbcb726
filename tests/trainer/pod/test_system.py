import signal
import subprocess
import sys
import time

import pytest

from trainer import gpu_use
from trainer.pod import system


@pytest.fixture
def world():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield system.System({})
    signal.set_wakeup_fd(-1)
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def card(tmp_path, monkeypatch):
    """Put an nvidia-smi there that runs ``text`` of shell."""

    def make(text):
        script = tmp_path / "nvidia-smi"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


@pytest.mark.parametrize(
    ("text", "percent"),
    [("echo 3; echo 71", 71), ("echo 0", 0), ("echo '[N/A]'", None), ("exit 9", None)],
)
def test_the_busiest_card_counts(card, text, percent, request):
    card(text)
    assert request.getfixturevalue("world").gpu_use() == percent


def test_a_card_that_does_not_answer_is_not_waited_for(card, request, monkeypatch):
    monkeypatch.setattr(gpu_use, "SMI_SECONDS", 0.2)
    card("exec sleep 30")
    started = time.monotonic()
    assert request.getfixturevalue("world").gpu_use() is None
    assert time.monotonic() - started < 10


def test_without_a_card_nothing_is_known(monkeypatch, tmp_path, request):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert request.getfixturevalue("world").gpu_use() is None


def start(world, tmp_path, code, **more):
    return world.start([sys.executable, "-c", code], env={}, cwd=tmp_path, **more)


def test_a_word_wakes_and_whole_lines_come(world, tmp_path):
    code = "import os, time; fd = int(os.environ['SFT_EVENTS_FD']); os.write(fd, b'a\\nb'); "
    child = start(world, tmp_path, code + "time.sleep(1); os.write(fd, b'c\\nd')", events=True)
    started = time.monotonic()
    found = []
    while child.poll() is None:
        world.wait(0.05 if child.pipe is None else 30, child)
        found += child.lines()
    assert found + child.lines() == [b"a", b"bc"]
    assert time.monotonic() - started < 20


def test_a_signal_wakes(world):
    timer = subprocess.Popen(["sh", "-c", "sleep 0.3; kill -TERM $PPID"])
    started = time.monotonic()
    world.wait(30)
    assert world.stop_asked
    assert time.monotonic() - started < 20
    timer.wait()


def test_a_kill_takes_what_was_started_with_it(world, tmp_path):
    code = "import subprocess, time; subprocess.Popen(['sleep', '77.125']); time.sleep(60)"
    child = start(world, tmp_path, code)
    until = time.monotonic() + 20

    def sleepers():
        return "sleep 77.125" in subprocess.check_output(["ps", "-eo", "args"], text=True)

    while not sleepers():
        assert time.monotonic() < until
    child.kill()
    assert child.poll() == -signal.SIGKILL
    while sleepers():
        assert time.monotonic() < until


def test_errors_go_to_the_log(world, tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    child = start(world, tmp_path, "import sys; sys.stderr.write('after')", log=log)
    while child.poll() is None:
        world.wait(0.05)
    assert log.read_text() == "before\nafter"
