"""Metrics for trackio and W&B, with packages of their shape that write down what they are told."""

import json
import sys
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.tracking import check, metrics
from launcher.world import World
from tests.launcher.report.made import make_run
from trainer.contract import events
from trainer.contract.command.errors import NotInstalled, Usage

TRACKIO = """
import json, os
def _note(*what):
    with open(os.environ["NOTED"], "a") as file:
        file.write(json.dumps(what) + "\\n")
def init(project, *, name, config, resume, embed, auto_log_gpu, auto_log_cpu):
    print("* Trackio project initialized")
    _note("init", project, name, resume, config.get("seed"))
def log(metrics, step=None):
    if os.environ.get("BROKEN"):
        raise RuntimeError("no room")
    _note("log", step, metrics)
def finish():
    _note("finish")
"""
WANDB = """
from trackio import _note
class Settings(dict):
    pass
class Run:
    def log(self, metrics, step):
        _note("log", step, metrics)
    def finish(self):
        _note("finish")
def login(prompt):
    assert prompt is False
    return False
def init(*, project, id, name, config, resume, dir, settings):
    _note("init", project, id, resume, dict(settings))
    return Run()
"""


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """What a tracker was told, as a list that is read anew by each call."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "trackio.py").write_text(TRACKIO)
    (packages / "wandb.py").write_text(WANDB)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    monkeypatch.setenv("PYTHONPATH", f"{packages}:{Path(__file__).parents[2]}")
    yield lambda: [json.loads(x) for x in (tmp_path / "noted").read_text().splitlines()]
    for name in ("trackio", "wandb"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(tmp_path):
    made = make_run(tmp_path / "run")
    facts = {"id": "run-1", "where": "here"}
    entry = {"v": 1, "what": "created", "stage": "fact", "time": 0.5, "facts": facts}
    made.journal.write_text(json.dumps(entry) + "\n")
    return made


def step(number: int, *, loss: float) -> events.Step:
    return events.Step(
        step=number, steps=9, epoch=0.1, loss=loss, lr=0.1, tokens=1, trained_tokens=1,
        tokens_per_second=1, trained_tokens_per_second=1, seconds_left=0, memory_bytes=1,
    )  # fmt: skip


def test_what_is_sent_of_an_event():
    at, values = metrics(step(3, loss=0.5)) or (0, {})
    assert (at, values["train/loss"], "train/grad_norm" in values) == (3, 0.5, False)
    _, busy = metrics(step(4, loss=0.5).model_copy(update={"gpu_use": 97, "mfu": 0.5})) or (0, {})
    assert (busy["train/gpu_use"], busy["train/mfu"]) == (97, 0.5)
    assert metrics(events.Eval(step=4, loss=2.0)) == (4, {"eval/loss": 2.0})
    assert metrics(events.Sample(step=1, prompt="secret", text="secret")) is None


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_run_is_sent_once_afterwards(noted, run, capsys, monkeypatch, name):
    monkeypatch.setenv("WANDB_MODE", "offline")
    asked = ["report", str(run.folder), "--json", "--track", name, "--track-project", "mine"]
    assert main(asked) == 0
    first, *logs, last = noted()
    assert first[:4] == ["init", "mine", "run-1", "allow"]
    assert last == ["finish"]
    assert [(at, values.get("train/loss")) for _, at, values in logs[:3]] == [
        (1, 3.0), (2, 1.5), (3, 1.0),
    ]  # fmt: skip
    assert logs[3][1:] == [2, {"eval/loss": 1.75}]
    assert logs[4][1:] == [3, {"tasks/base": 0.25, "tasks/adapter": 0.75, "tasks/difference": 0.5}]
    assert main(asked) == 0
    assert len(noted()) == 7
    assert all(json.loads(line) for line in capsys.readouterr().out.splitlines())


def test_a_tracker_that_is_not_there_or_has_no_key(noted, monkeypatch):
    check("none", variable=World().variable)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(Usage, match="key is missing"):
        check("wandb", variable=World().variable)
    monkeypatch.setattr("launcher.tracking.find_spec", lambda _: None)
    with pytest.raises(NotInstalled) as caught:
        check("trackio", variable=World().variable)
    assert "pip install 'trackio>=" in caught.value.hint


def test_training_sends_while_it_runs_and_resuming_goes_on(noted, launch):
    done = launch(
        "train", "--data", "data.jsonl", "--on", "here", "--run-id", "r", "--track", "trackio",
        behaviour="crash",
    )  # fmt: skip
    assert done.returncode
    sent = [x[1] for x in noted() if x[0] == "log"]
    assert sent == sorted(set(sent)) != []
    done = launch("train", "--resume", "r", "--track", "trackio")
    assert done.returncode == 0, done.stderr
    told = noted()
    steps = [x[1] for x in told if x[0] == "log"]
    assert steps == sorted(set(steps))
    assert len(steps) > len(sent)
    assert [x[0] for x in told].count("init") == [x[0] for x in told].count("finish") == 2


def test_what_a_tracker_fails_with_ends_the_sending_and_not_the_run(noted, launch):
    done = launch(
        "train", "--data", "data.jsonl", "--on", "here", "--run-id", "r", "--track", "trackio",
        BROKEN="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: trackio failed, no more metrics are sent (no room)") == 1


def test_nothing_is_begun_without_the_package(launch, folder):
    done = launch("train", "--data", "data.jsonl", "--on", "here", "--track", "trackio")
    assert done.returncode == NotInstalled.exit_code
    assert "pip install 'trackio" in done.stderr
    assert not (folder / "runs").exists()
