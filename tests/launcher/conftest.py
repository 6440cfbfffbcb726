"""A world whose trainer is a short script, a run's data, and ``launch`` as a process of its own."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from launcher.machines import here
from launcher.view.plain import PlainView
from trainer.contract.job import Job

DRIVE = Path(__file__).with_name("drive.py")
ROW = (
    '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n'
)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Heard(PlainView):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(sys.stdout, world=make_world())
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def make_world(behaviour: str = "good") -> Any:
    return load(DRIVE).FakeWorld(behaviour)


@pytest.fixture
def world(monkeypatch) -> Callable[..., Any]:
    """``world(behaviour)``; the check for torch is satisfied."""
    monkeypatch.setattr(here, "NEEDED", ())
    return make_world


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A working directory with data.jsonl in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.jsonl").write_text(ROW * 3)
    return tmp_path


@pytest.fixture
def job(folder) -> Job:
    return Job(data="data.jsonl")


Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command() -> Callable[..., list[str]]:
    """``command(behaviour, *arguments)``: launch with the fake trainer, as an argument list."""
    return lambda behaviour, *arguments: [sys.executable, str(DRIVE), behaviour, *arguments]


@pytest.fixture
def launch(folder, command) -> Launch:
    def run(
        *arguments: str, behaviour: str = "good", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(behaviour, *arguments),
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
