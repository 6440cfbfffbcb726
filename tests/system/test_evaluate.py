"""`--evaluate`: base against adapter on the pod, and in a container; the comparison comes home."""

import json
import subprocess
import sys

import pytest

from launcher.request import Request
from launcher.train import train
from tests.system.laptop import CODE
from trainer.contract import events
from trainer.contract.episodes import COMPARISON
from trainer.contract.job import from_sources

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture
def episodes(tmp_path):
    """A few episodes about a table that lies beside their folder, made as a user makes them."""

    def datagen(*words):
        command = [sys.executable, "-P", "-m", "datagen", *map(str, words)]
        environment = {"PYTHONPATH": str(CODE), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)

    datagen("tables", "--out", "tables", "--invent", 1)
    table = next(p for p in sorted((tmp_path / "tables").glob("*.csv")) if "penguins" in p.name)
    datagen("episodes", table, "--out", "episodes", "--per-table", 1, "--teacher", "scripted")
    return tmp_path / "episodes" / "episodes.jsonl"


def asked(folder):
    """How many questions both models were asked, as the comparison tells."""
    return json.loads((folder / COMPARISON).read_text("utf-8"))["n"]


def test_the_pod_evaluates_before_it_is_let_go(story, laptop, episodes):
    work = story.train("--evaluate", str(episodes))
    assert work.ended(seconds=600) == 0, work.said
    assert asked(laptop.run("r1")) > 0
    assert laptop.phases("r1", "evaluated"), work.said
    assert (laptop.run("r1") / "evaluation" / "adapter.jsonl").is_file()
    assert "questions answered" in work.said
    assert laptop.result("r1").complete


def test_a_container_evaluates_too(engine, context, sft_image, tmp_path, monkeypatch, episodes):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    row = {"messages": [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "2"}]}
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 8, "utf-8")
    flags = {
        "data": str(tmp_path / "rows.jsonl"),
        "output": str(tmp_path / "out"),
        "evaluate": str(episodes),
        "max_steps": 4,
    }
    job = from_sources("tiny", flags=flags)
    settings = context.settings.model_copy(update={"image": sft_image})
    request = Request(job, run_id="d1", where="docker", settings=settings)
    outcome = train(request, world=context.world, view=context.view)
    assert outcome.manifest.complete
    assert asked(outcome.run.folder) > 0
    seen = events.read(outcome.run.events)[0]
    assert not [one for one in seen if isinstance(one, events.Warning)]
