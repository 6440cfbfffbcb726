import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_without_a_terminal_there_are_plain_lines_only(launch):
    done = launch("train", "--data", "data.jsonl", "--run-id", "a")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    shown = done.stdout.splitlines()
    assert sum(line.startswith("step ") for line in shown) == 2  # first and last of six quick ones
    assert shown[-4].startswith("adapter ")
    assert max(map(len, done.stdout.splitlines())) < 200


def test_json_is_events_and_one_outcome(launch):
    done = launch("train", "--data", "data.jsonl", "--run-id", "a", "--json")
    told = lines(done.stdout)
    assert [x["step"] for x in told if x["type"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert told[-1]["type"] == "outcome"
    assert (told[-1]["state"], told[-1]["exit_code"], told[-1]["id"]) == ("finished", 0, "a")


@pytest.mark.parametrize(
    ("behaviour", "arguments", "code"),
    [
        ("good", ["train", "--data", "data.jsonl", "--lr", "many"], 4),
        ("good", ["train", "--data", "data.jsonl", "--set", "epoch=2"], 4),
        ("good", ["train", "--data", "data.jsonl", "--recipe", "nothing-such"], 11),
        ("good", ["train", "--data", "missing.jsonl"], 11),
        ("good", ["train", "--data", "data.jsonl", "--on", "moon"], 2),
        ("good", ["train", "--data", "data.jsonl", "--run-id", "../x"], 2),
        ("good", ["train", "--resume", "x", "--lr", "1"], 2),
        ("good", ["train", "--resume", "x", "--run-id", "y"], 2),
        ("good", ["train", "--resume", "nothing-such"], 11),
        ("crash", ["train", "--data", "data.jsonl"], 9),
        ("killed", ["train", "--data", "data.jsonl"], 9),
        ("refuse", ["train", "--data", "data.jsonl"], 8),
        ("lie", ["train", "--data", "data.jsonl"], 13),
        ("good", ["logs", "nothing-such"], 11),
        ("good", ["fly"], 2),
        ("good", [], 2),
    ],
)
def test_each_fault_has_its_exit_code_and_no_traceback(behaviour, arguments, code, launch):
    done = launch(*arguments, behaviour=behaviour)
    assert done.returncode == code, done.stderr
    assert 'File "' not in done.stderr
    assert "internal error" not in done.stderr
    assert "error: " in done.stderr


def test_a_failing_run_tells_json_readers_too(launch):
    done = launch("train", "--data", "data.jsonl", "--json", behaviour="crash")
    told = lines(done.stdout)[-1]
    assert (told["type"], told["exit_code"]) == ("outcome", 9)
    assert "--resume" in told["hint"]
    assert "Traceback" not in done.stderr.splitlines()[0]


def test_a_run_of_this_machine_has_no_bill_and_wants_no_key(launch):
    assert launch("train", "--data", "data.jsonl", "--run-id", "first").returncode == 0
    asked = launch("receipt", "first")
    assert asked.returncode == 11
    assert asked.stderr == "error: run first has rented no pod\n  -> its cost is zero\n"


def test_ps_and_logs(launch):
    assert launch("ps").stdout == "no runs yet; start one with: launch train, or launch demo\n"
    launch("train", "--data", "data.jsonl", "--run-id", "first")
    launch("train", "--data", "data.jsonl", "--run-id", "second", behaviour="crash")

    shown = launch("ps").stdout.splitlines()
    assert shown[0].split() == ["ID", "STATE", "STEP", "LOSS", "WHERE", "MODEL"]
    assert shown[1].split()[:5] == ["first", "finished", "6/6", "0.667", "here"]
    assert shown[2].strip() == str(Path("runs", "first"))
    assert shown[3].split()[:3] == ["second", "failed", "3/6"]
    assert shown[5].strip() == "the trainer ended with exit code 1"

    facts = lines(launch("ps", "--json").stdout)
    assert [(x["id"], x["state"], x["step"]) for x in facts] == [
        ("first", "finished", 6),
        ("second", "failed", 3),
    ]
    for name in ("second", "sec", str(Path("runs", "second"))):
        told = launch("logs", name).stdout
        assert "step 3/6" in told
        assert "train.log | RuntimeError: no such luck" in told
    kinds = [x["type"] for x in lines(launch("logs", "first", "--json").stdout)]
    assert (kinds[0], kinds[-1]) == ("phase", "done")


def test_logs_follow_until_the_run_ends(folder, launch, command):
    with subprocess.Popen(
        command("slow", "train", "--data=data.jsonl", "--run-id=a", "--set=max_steps=20"),
        cwd=folder,
        stdout=subprocess.DEVNULL,
    ) as process:
        while not (folder / "runs" / "a" / "events.jsonl").exists():
            time.sleep(0.05)
        followed = launch("logs", "-f", "a").stdout
        assert process.wait() == 0
    assert followed.count("  step ") == 20
    assert "done: manifest.json" in followed


def test_a_reader_that_leaves_early_is_no_error(folder, command):
    shell = " ".join(command("good", "train", "--data", "data.jsonl")) + " | head -n 1"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("checking ")
    assert "Traceback" not in done.stderr


def test_launch_and_python_m_launcher_are_the_same():
    shown = [
        subprocess.run([*start, "--help"], capture_output=True, text=True, check=True).stdout
        for start in (
            [sys.executable, "-m", "launcher"],
            [sys.executable, "-c", "from launcher.cli import main; main()"],
        )
    ]
    assert shown[0] == shown[1]
    assert all(verb in shown[0] for verb in ("train", "demo", "ps", "logs"))


@pytest.mark.parametrize("verb", ["train", "demo", "ps", "logs"])
def test_each_verb_has_help(verb, launch):
    done = launch(verb, "--help")
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_a_gpu_means_runpod_and_asks_for_a_key(launch, folder):
    done = launch(
        "train", "--gpu", "A10G", "--image", "x", "--data", "data.jsonl", HOME=str(folder)
    )
    assert done.returncode == 22
    assert "export RUNPOD_API_KEY" in done.stderr
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--on", "docker", "--gpu", "A10G"], "--on docker trains on this machine: --gpu would"),
        (
            ["--max-cost", "1", "--image", "x"],
            "--on here trains on this machine: --max-cost, --image",
        ),
    ],
)
def test_a_setting_that_the_machine_does_not_use_is_refused(launch, flags, words):
    done = launch("train", "--data", "data.jsonl", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "use --on runpod" in done.stderr


def test_the_version_is_the_installed_one(launch):
    judge = subprocess.run(
        [sys.executable, "-m", "pip", "show", "sft-launch"],
        capture_output=True,
        text=True,
        check=True,
    )
    version = judge.stdout.splitlines()[1].removeprefix("Version: ")
    assert launch("--version").stdout == f"sft-launch {version}\n"


def test_help_is_a_verb_too(launch):
    assert launch("help").stdout == launch("--help").stdout
    assert launch("help", "logs").stdout == launch("logs", "--help").stdout
    assert "did you mean logs?" in launch("help", "lgos").stderr


def test_a_long_help_shows_five_options_first(launch):
    shown = launch("help", "train").stdout
    first, _, rest = shown.partition("\noptions:\n")
    flags = re.findall(r"^  (--[a-z-]+)", first, re.MULTILINE)
    assert flags == ["--data", "--model", "--gpu", "--max-cost", "--dry-run"]
    assert (
        re.findall(rf"^  ({'|'.join(flags)}) ", rest.partition("\nexamples:")[0], re.MULTILINE)
        == []
    )


def test_a_dry_run_here_shows_the_command_and_makes_nothing(launch, folder):
    done = launch("train", "--data", "data.jsonl", "--run-id", "a", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    (sent,) = json.loads(done.stdout.splitlines()[-1])["would_send"]
    assert sent["command"].endswith("runs/a/job.json")
    assert not (folder / "runs").exists()
    assert not (folder / "dry-run.json").exists()


def test_a_dry_run_writes_its_requests_to_a_file_and_says_what_is_missing(launch, folder):
    shown = launch("train", "--run-id", "a", "--dry-run").stdout
    (sent,) = json.loads((folder / "dry-run.json").read_text())
    assert sent["command"].endswith("runs/a/job.json")
    assert "runs/a/job.json" not in shown
    assert "requests dry-run.json (--verbose shows them)" in shown
    assert shown.splitlines()[-3:-1] == [
        "a run still needs:",
        "  1. no data: --data is not given, and training_data/train_openai.jsonl does not exist",
    ]
    assert "runs/a/job.json" in launch("train", "--dry-run", "--run-id", "a", "--verbose").stdout


@pytest.mark.parametrize("verb", ["attach", "fetch", "stop", "receipt"])
def test_a_verb_on_an_unknown_run_says_so(launch, verb):
    done = launch(verb, "nothing")
    assert done.returncode == 11
    assert "unknown run 'nothing'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--lr", "1"], 2, "keeps its lr"),
        (["--set", "max_length=64", "--set", "plan.tokens=8"], 2, "keeps its max_length\n"),
        (["--lr", "1"], 2, "restart the run: launch train --resume a --overwrite --set lr=1\n"),
        (["--lr", "1", "--allow-precision-change"], 2, "keeps its lr"),
        (["--set", "precision=nf4"], 2, "with --allow-precision-change precision"),
        (["--set", "precision=nf4", "--allow-precision-change"], 11, "unknown run 'a'"),
        (["--set", "plan.tokens=8"], 11, "unknown run 'a'"),
        (["--overwrite", "--lr", "1"], 11, "unknown run 'a'"),
        (["--allow-precision-change"], 11, "unknown run 'a'"),
        (["--max-cost", "much"], 4, "--max-cost"),
        (["--max-cost", "3"], 11, "unknown run 'a'"),
    ],
)
def test_settings_may_change_on_resume_and_the_job_may_not(launch, flags, code, words):
    done = launch("train", "--resume", "a", *flags)
    assert done.returncode == code
    assert words in done.stderr
