"""What bash completes, with argcomplete's own shell function."""

import os
import subprocess
import sys

import pytest

from launcher.runs import run_folder
from launcher.world import World

pytest.importorskip("argcomplete")
SCRIPT = """
eval "$($PYTHON -m argcomplete.scripts.register_python_argcomplete launch)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete launch
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def completed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHON", sys.executable)
    tool = tmp_path / "launch"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m launcher "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def call(line):
        done = subprocess.run(
            ["bash", "-c", SCRIPT, "bash", line], capture_output=True, text=True, check=True
        )
        return [word.strip() for word in done.stdout.splitlines()]

    return call


def test_verbs_and_flags(completed):
    assert completed("launch rec") == ["receipt"]
    assert {"train", "plan", "doctor"} < set(completed("launch "))
    assert "guard" not in completed("launch ")
    assert completed("launch train --max-c") == ["--max-cost"]


def test_values(completed, tmp_path):
    run = run_folder.Run("20261130-first", tmp_path)
    run.journal.write_text("")
    run_folder.add_to_index(run, world=World())
    assert completed("launch logs 2026") == ["20261130-first"]
    assert completed("launch train --resume 2026") == ["20261130-first"]
    assert completed("launch train --gpu H1") == [
        "H100",
        "H10080",
        "H100PCIE",
        "H100SXM",
        "H100NVL",
    ]
    assert completed("launch train --recipe llama") == ["llama-3.2-3b"]
    assert completed("launch train --on-deadline d") == ["delete"]
    assert "lora.r=" in completed("launch train --set lora.")
