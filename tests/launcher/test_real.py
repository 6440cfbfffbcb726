"""One run with nothing faked: launcher, trainer, the bundled base model."""

import json
import os
import subprocess
import sys
from pathlib import Path

from launcher.runs import run_folder, status
from trainer.contract import manifest

MODEL = "bundled:tiny"


def launch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_launch_train_here(folder):
    done = launch(
        "train",
        *("--model", MODEL, "--data", "data.jsonl", "--batch-size", "2", "--run-id", "a"),
        *("--set", "max_steps=3", "--json"),
        cwd=folder,
    )

    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [x["step"] for x in told if x["type"] == "step"] == [1, 2, 3]
    assert told[-1]["state"] == "finished"
    run = run_folder.at(folder / "runs" / "a")
    assert manifest.verify(run.folder).complete
    assert status.look(run).state == "finished"
    again = launch("train", "--resume", "a", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "step " not in again.stdout.replace("3 steps", "")
