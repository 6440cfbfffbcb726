"""The demo with its real model, shortened: ten steps, ten questions. Judge of the figures: the transcripts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.demo import story
from launcher.demo.settings import REAL
from launcher.view.plain import PlainView
from launcher.world import World
from tests.system.real_model import folder
from trainer.contract import manifest
from trainer.contract.command.errors import ModelUnavailable

SHORT = replace(
    REAL,
    invented=6,
    questions=(("basic", 13), ("percentile,group_gap", 6)),
    asked=10,
    evaluation=("--tokens", "48"),
    job=(("max_steps", 10),),
    promised=-1.0,
)


def test_the_demo_trains_a_real_model_and_tells_what_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    try:
        base = folder()
    except ModelUnavailable as fault:
        pytest.skip(f"a real model: {fault}")
    import sys

    monkeypatch.setattr(story, "PROMISED_P", 2.0)  # ten questions prove nothing
    monkeypatch.setattr("launcher.demo.base_model.fetch", lambda _: base)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out, world = tmp_path / "run", World()
    view = PlainView(sys.stdout, world=world)
    assert story.run(out=out, seed=3, world=world, view=view, settings=SHORT) == 0

    done = manifest.verify(out)
    assert done.complete
    assert len(json.loads((out / "comparison.json").read_text())["tables"]) == 2
    right = {}
    for name in ("base", "adapter"):
        lines = (out / "evaluation" / f"{name}.jsonl").read_text().splitlines()
        right[name] = [json.loads(line)["verdict"]["verified"] for line in lines]
        assert len(right[name]) == 10
    assert sum(right["adapter"]) >= sum(right["base"])
    _, _, ending = capsys.readouterr().out.partition("5/5 result\n")
    shown = ending.splitlines()
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80 or str(tmp_path) in ending
    assert f"base: {sum(right['base'])} right" in ending
    assert f"adapter: {sum(right['adapter'])} right" in ending
    assert (out / "report.html").is_file()
