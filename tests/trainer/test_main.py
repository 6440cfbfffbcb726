import json
import os
import signal
import subprocess
import sys
import time

import pytest

from trainer import __main__ as command
from trainer.contract import events, manifest
from trainer.contract.command.errors import run_main
from trainer.contract.job import Job
from trainer.result import evaluation


def call(*arguments):
    return run_main(command._main, [str(a) for a in arguments])


def test_help_imports_nothing_heavy():
    program = (
        "import runpy, sys\n"
        "sys.argv = ['trainer', '--help']\n"
        "try:\n    runpy.run_module('trainer', run_name='__main__')\n"
        "finally:\n"
        "    heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'numpy', 'pandas'}\n"
        "    print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "--lora-r" in done.stdout
    assert "HEAVY []" in done.stdout


def test_a_resolved_job_may_be_gone_on_with_in_another_precision(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(command, "train", lambda job, **how: given.append((job, how["resume"])))
    path = tmp_path / "job.json"
    path.write_text(Job(lr=1).to_json())
    assert call(path, "--resume") == 0
    assert call(path, "--resume", "--allow-precision-change") == 0
    assert call("--lr", "1", "--resume", "--allow-precision-change") == 0
    plain, *allowed = [job for job, resume in given if resume]
    assert not plain.allow_precision_change
    assert allowed == [plain.model_copy(update={"allow_precision_change": True})] * 2
    assert allowed[0].hash() == plain.hash()


def test_wrong_usage(capsys):
    assert call("--resume", "--overwrite") == 2
    assert call("job.json", "--lr", "1") == 2
    assert call("none.json") == 11
    assert call("--lr", "fast") == 4
    assert call("--recipe", "none") == 11
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda p: None, 11, "does not exist"),
        (lambda p: p.mkdir(), 3, "is a folder"),
        (os.mkfifo, 3, "not a regular file"),
        (lambda p: p.write_text(""), 3, ":1: the file is empty"),
        (lambda p: p.write_text("{\n"), 3, ":1: not JSON"),
        (lambda p: p.write_text('{"text": "x"}\n'), 3, ":1: a 'text' row does not show"),
    ],
)
def test_bad_data_is_one_message_and_a_code(tmp_path, capsys, base_model, make, code, words):
    data = tmp_path / "rows.jsonl"
    make(data)
    output = tmp_path / "run"
    assert call("--model", base_model, "--data", data, "--output", output) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.startswith("error: ")
    assert "Traceback" not in shown
    assert not output.exists()


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    path.write_text((json.dumps(line) + "\n") * 8)
    return path


def test_the_seeds_command_line_and_then_the_job_file(tmp_path, rows, base_model, capsys):
    output = tmp_path / "run"
    flags = ["--model", base_model, "--data", rows, "--output", output, "--epochs", 2]
    assert call(*flags, "--batch-size", 4, "--lr", "1e-2", "--lora-r", 4) == 0
    found = manifest.verify(output)
    assert found.metrics["steps"] == 4
    assert "step 4/4" in capsys.readouterr().out
    assert call(output / "job.json") == 5
    assert "already holds a result" in capsys.readouterr().err
    assert call(output / "job.json", "--overwrite") == 0
    again = manifest.verify(output)
    name = "adapter/adapter_model.safetensors"
    assert again.files[name] == found.files[name]


def test_sigterm_saves_and_says_how_to_go_on(tmp_path, rows, base_model):
    output = tmp_path / "run"
    job = Job(
        model=str(base_model), data=str(rows), output=str(output), batch_size=4, max_steps=100_000
    )
    path = tmp_path / "job.json"
    path.write_text(job.to_json())
    child = subprocess.Popen(
        [sys.executable, "-m", "trainer", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def asleep():
        time.sleep(0.05)

    sent = False
    for event in events.follow(
        output / "events.jsonl", alive=lambda: child.poll() is None, wait=asleep
    ):
        if isinstance(event, events.Step) and not sent:
            child.send_signal(signal.SIGTERM)
            sent = True
    _, shown = child.communicate()
    assert child.returncode == 130
    assert shown == (
        f"error: interrupted\n  -> continue with: python -m trainer {output / 'job.json'} --resume\n"
    )
    found, _ = events.read(output / "events.jsonl")
    assert [e.type for e in found[-2:]] == ["checkpoint", "failed"]
    steps = [e.step for e in found if isinstance(e, events.Step)]
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(found[-2], events.Checkpoint)
    assert found[-2].step == steps[-1]


def test_an_interrupt_while_loading_ends_at_once(tmp_path, rows, base_model, monkeypatch, capsys):
    from trainer import pretrained

    monkeypatch.setattr(pretrained, "load_tokenizer", lambda _: os.kill(os.getpid(), signal.SIGINT))
    output = tmp_path / "run"
    assert call("--model", base_model, "--data", rows, "--output", output) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [e.type for e in events.read(output / "events.jsonl")[0]] == ["phase", "failed"]


def test_a_surprise_is_told_in_the_events_too(tmp_path, rows, base_model, monkeypatch, capsys):
    from trainer import pretrained

    monkeypatch.setattr(pretrained, "load_tokenizer", lambda _: 1 / 0)
    output = tmp_path / "run"
    assert call("--model", base_model, "--data", rows, "--output", output) == 1
    assert "internal error: ZeroDivisionError" in capsys.readouterr().err
    last = events.read(output / "events.jsonl")[0][-1]
    assert isinstance(last, events.Failed)
    assert "ZeroDivisionError" in last.cause


def test_two_trainers_cannot_share_a_folder(tmp_path, rows, base_model, capsys):
    output = tmp_path / "run"
    with events.Writer(output / "events.jsonl"):
        assert call("--model", base_model, "--data", rows, "--output", output) == 10
    assert "another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "supervised", "asked"),
    [(["--evaluate", "e.jsonl"], False, 1), (["--evaluate", "e.jsonl"], True, 0), ([], False, 0)],
)
def test_the_evaluation_follows_unless_a_supervisor_does_it(monkeypatch, job, supervised, asked):
    done = []
    monkeypatch.setattr(command, "train", lambda job, **_: done.append("train"))
    monkeypatch.setattr(evaluation, "evaluate", lambda job: done.append(job.evaluate))
    if supervised:
        monkeypatch.setenv("SFT_EVENTS_FD", "9")
    assert call("--output", "none", *job) == 0
    assert done == ["train", *["e.jsonl"] * asked]
