"""Clients that others wrote, each in an environment of its own: their pins are not this project's."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.system.cached import kept

SCRIPTS = Path(__file__).parent / "clients"
RUNPOD = "runpod==2.0.0rc2"
DSTACK = "dstack==0.22.5"


class NoClient(Exception):
    """The package cannot be installed."""


def run(requirement: str, script: str, given: Mapping[str, Any], **variables: str) -> Any:
    """What `script` of this folder's `clients` prints, as JSON, beside the package of `requirement`.

    `variables` are all that its environment has. Raises ``NoClient``.
    """
    python = environment(requirement) / "bin" / "python"
    done = subprocess.run(
        [python, "-I", SCRIPTS / script, json.dumps(given)],
        env={"PATH": os.defpath, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def environment(requirement: str) -> Path:
    """A virtual environment with `requirement`, made the first time. Raises ``NoClient``."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}"

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet"]
        done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoClient(f"pip cannot install {requirement}: {done.stderr.splitlines()[-1:]}")

    return kept(f"{requirement.replace('==', '-')}-{version}", make)
