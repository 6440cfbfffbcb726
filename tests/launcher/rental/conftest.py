"""An account in virtual time, and a working directory with data in it."""

import hashlib
import json
from collections.abc import Callable

import pytest

from launcher.request import Request
from launcher.settings import Settings
from launcher.train import train
from launcher.view.plain import PlainView
from tests.launcher.rental.account import Account, VirtualWorld
from trainer.contract.job import Job

ROW = (
    '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n'
)
IMAGE = "ghcr.io/me/sft@sha256:00"


JOB = Job(data="data.jsonl", model="bundled:tiny")


class Heard(PlainView):
    """Keeps what was said."""

    def __init__(self, world) -> None:
        super().__init__(None, world=world)  # type: ignore[arg-type]
        self.lines: list[str] = []
        self.heard: Callable[[], None] = lambda: None

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.heard()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def account(tmp_path):
    return Account(tmp_path / "cloud")


@pytest.fixture
def world(account):
    return VirtualWorld(account)


@pytest.fixture
def view(world):
    return Heard(world)


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "data.jsonl").write_text(ROW * 3)
    return folder


@pytest.fixture
def settings():
    return Settings(image=IMAGE)


@pytest.fixture
def begin(project, world, view, settings):
    """Train on RunPod; ``begin(on_interrupt="stop")`` changes settings."""

    def call(*, job=JOB, **changes):
        wanted = settings.model_copy(update=changes)
        request = Request(
            job=job,
            run_id="a",
            where="runpod",
            settings=wanted,
        )
        return train(request, world=world, view=view)

    return call


@pytest.fixture
def again(project, world, view):
    """Carry on: ``again(start_stopped=True)`` is ``launch fetch``."""

    def call(**how):
        request = Request(resume="a", attach=True, **how)
        return train(request, world=world, view=view)

    return call


@pytest.fixture
def evaluated(project):
    """A job with episodes about a table that lies beside their folder."""
    table = project / "t.csv"
    table.write_text("a,b\n1,2\n")
    sha256 = hashlib.sha256(table.read_bytes()).hexdigest()
    (project / "episodes").mkdir()
    line = json.dumps({"tables": [{"path": "../t.csv", "sha256": sha256}]})
    (project / "episodes" / "test.jsonl").write_text(line + "\n")
    return JOB.model_copy(update={"evaluate": "episodes/test.jsonl"})
