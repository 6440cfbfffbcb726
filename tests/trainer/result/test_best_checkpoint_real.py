"""`keep = best` with nothing played: questions, checkpoints and answers are real, and so is a kill."""

import json
import sys
from pathlib import Path

import pytest

from datagen.cli import main as datagen
from trainer import __main__ as entry
from trainer.contract import events, manifest, validation
from trainer.contract.command.errors import run_main
from trainer.contract.job import Job, from_sources
from trainer.contract.sizing import evaluations
from trainer.result import best_checkpoint, evaluation

ROOT = Path(__file__).parents[3]
WEIGHTS = "adapter_model.safetensors"
STEPS = 8
# Datagen as it is, but the first call about the last checkpoint is killed while it loads.
EVALUATOR = f"""
import os, runpy, signal, sys, threading
from pathlib import Path

if "checkpoint-{STEPS}" in " ".join(sys.argv) and not Path("killed").exists():
    Path("killed").touch()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
runpy.run_module("datagen", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def job(tmp_path, monkeypatch) -> Job:
    """Trains on the answer to a question; the held-out row is answered as the base does: a loss that rises."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(evaluations, "SPACED", 1)  # each checkpoint that is asked loads a model
    (tmp_path / "evaluator.py").write_text(EVALUATOR)
    command = (sys.executable, str(tmp_path / "evaluator.py"), "evaluate")
    monkeypatch.setattr(evaluation, "COMMAND", command)
    (tmp_path / "shop.csv").write_text("city,units\nUlm,3\nUlm,4\nBonn,9\nJena,7\n")
    made = ["--families", "basic", "--prompt", "brief", "--teacher", "scripted", "--per-table", "1"]
    assert datagen(["episodes", "shop.csv", "--out", ".", *made]) == 0
    assert datagen(["export", "episodes.jsonl", "--out", "rows.jsonl"]) == 0
    row = json.loads(Path("rows.jsonl").read_text())
    Path("rows.jsonl").write_text((json.dumps(row) + "\n") * 4)
    row["messages"][-1]["content"] = '```sql\nSELECT SUM("units") FROM t\n```'
    Path("eval.jsonl").write_text(json.dumps(row) + "\n")
    settings = [f"max_steps={STEPS}", "batch_size=2", "lr=0.01", "schedule=constant", "warmup=0"]
    found = from_sources(
        "tiny",
        [*settings, "samples=0", "early_stop=null", "lora.r=16"],
        {
            "data": str(tmp_path / "rows.jsonl"),
            "output": str(tmp_path / "run"),
            "keep": "best",
            "validation": str(tmp_path / "episodes.jsonl"),
        },
    )
    return found.model_copy(update={"eval_data": str(tmp_path / "eval.jsonl")})


def test_the_checkpoint_that_answers_is_published_also_after_its_scoring_was_killed(job, tmp_path):
    run = Path(job.output)
    (tmp_path / "job.json").write_text(job.to_json())
    assert run_main(entry._main, [str(tmp_path / "job.json")]) == 0
    before = manifest.verify(run)
    by_loss = before.metrics["best_step"]
    assert by_loss in range(1, STEPS)
    of_step = {step: run / f"checkpoints/checkpoint-{step}" / WEIGHTS for step in (by_loss, STEPS)}
    adapter = run / "adapter" / WEIGHTS
    assert adapter.read_bytes() == of_step[by_loss].read_bytes()
    told = [e for e in events.read(run / "events.jsonl")[0] if isinstance(e, events.Warning)]
    assert f"step {STEPS}: exit code -9, see train.log" in told[-1].message
    assert "the adapter is that of the lowest loss" in told[-1].message
    assert validation.read(run / validation.RESULT) is None
    (scored,) = (run / validation.FOLDER).glob("*/result.json")
    asked_at = scored.stat().st_mtime_ns

    assert best_checkpoint.due(job, run)
    assert run_main(entry._main, [str(tmp_path / "job.json"), "--choose"]) == 0
    choice = validation.read(run / validation.RESULT)
    assert choice is not None
    assert (choice.chosen, choice.by_loss) == (STEPS, by_loss)
    assert [(s.step, s.right, s.questions) for s in choice.scores] == [
        (by_loss, 0, 1),
        (STEPS, 1, 1),
    ]
    first, second = (s.loss for s in choice.scores)
    assert first is not None
    assert second is not None
    assert first < second
    assert scored.stat().st_mtime_ns == asked_at  # what was answered is not asked again
    after = manifest.verify(run)
    assert after.complete
    assert after.reload_proof is not None
    assert after.reload_proof.equal
    assert after.reload_proof.base_max_abs_diff > 0
    assert (after.metrics["best_step"], after.metrics["validation_right"]) == (STEPS, 1)
    assert {"adapter/" + WEIGHTS, validation.RESULT} <= set(after.files)
    assert adapter.read_bytes() == of_step[STEPS].read_bytes()
    assert not best_checkpoint.due(job, run)
