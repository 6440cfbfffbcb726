"""The evaluation outside of a pod: what is started, what is said of it, and how it ends."""

import os
import signal
import sys
import threading
import time

import pytest

from trainer.contract import events
from trainer.contract.command.errors import Interrupted
from trainer.contract.job import Job
from trainer.result import evaluation


@pytest.fixture
def job(tmp_path):
    return Job(output=str(tmp_path / "run"), evaluate="test.jsonl")


@pytest.fixture
def does(tmp_path, monkeypatch):
    """Let the evaluation run ``text`` of Python; its arguments are in ``sys.argv``."""
    (tmp_path / "run").mkdir()

    def make(text):
        script = tmp_path / "evaluator.py"
        script.write_text("import os, signal, sys, time\nfrom pathlib import Path\n" + text)
        monkeypatch.setattr(evaluation, "COMMAND", (sys.executable, str(script)))

    return make


def said(tmp_path):
    return events.read(tmp_path / "run" / "events.jsonl")[0]


def test_what_came_of_it_is_an_event(job, does, tmp_path):
    does(
        "assert sys.argv[3:5] == ['--episodes', 'test.jsonl']\n"
        "assert sys.argv[2] == sys.argv[6]\n"
        "Path(sys.argv[2], 'comparison.json').write_text("
        '\'{"base": 0.5, "adapter": 0.25, "n": 4}\')'
    )
    assert evaluation.due(job, tmp_path / "run")
    evaluation.evaluate(job)
    begun, over = said(tmp_path)
    assert (begun.name, over.name) == ("evaluate", "evaluated")
    assert over.detail == "base 0.500, adapter 0.250, 4 questions"
    assert not evaluation.due(job, tmp_path / "run")


def test_what_it_says_meanwhile_is_passed_on(job, does, tmp_path):
    line = events.Answers(label="base", questions=9, answered=4, right=1).model_dump_json()
    does(
        f"os.write(int(os.environ['SFT_EVENTS_FD']), {line!r}.encode() + b'\\nnonsense\\n')\n"
        "Path(sys.argv[2], 'comparison.json').write_text("
        '\'{"base": 0.5, "adapter": 0.25, "n": 4}\')'
    )
    evaluation.evaluate(job)
    begun, meanwhile, over = said(tmp_path)
    assert (begun.name, over.name) == ("evaluate", "evaluated")
    assert isinstance(meanwhile, events.Answers)
    assert (meanwhile.answered, meanwhile.questions, meanwhile.seq) == (4, 9, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Path(sys.argv[2], 'train.log').open('a').write('error: no sandbox\\n')", "no sandbox"),
        ("sys.exit(7)", "exit code 7"),
        ("Path(sys.argv[2], 'comparison.json').write_text('{\"base\": null}')", "exit code 0"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
    ],
)
def test_a_failure_is_a_warning_that_says_how_to_do_it_again(job, does, tmp_path, text, why):
    does(text)
    (tmp_path / "run" / "train.log").write_text("error: of the training\n")
    evaluation.evaluate(job)
    told = said(tmp_path)[-1]
    assert isinstance(told, events.Warning)
    assert why in told.message
    assert "datagen evaluate --model RUN --episodes test.jsonl" in told.message


@pytest.mark.parametrize("ending", ["", "os.close(int(os.environ['SFT_EVENTS_FD']))\n"])
def test_one_that_tells_nothing_is_ended(job, does, tmp_path, monkeypatch, ending):
    monkeypatch.setattr(evaluation, "SILENT", 0.4)
    does(ending + "time.sleep(600)")
    began = time.monotonic()
    evaluation.evaluate(job)
    assert time.monotonic() - began < 60
    assert "wrote no event for 0 s)" in said(tmp_path)[-1].message


def test_sigterm_ends_it_and_says_so(job, does, tmp_path):
    does("Path(sys.argv[2], 'pid').write_text(str(os.getpid()))\ntime.sleep(60)")

    def strike():
        pid = tmp_path / "run" / "pid"
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=strike).start()
    with pytest.raises(Interrupted, match="the adapter is complete"):
        evaluation.evaluate(job)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "run" / "pid").read_text()), 0)
    assert "interrupted" in said(tmp_path)[-1].message
