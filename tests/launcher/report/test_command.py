"""The printed command, read by the parser of `launch train`, is the same job."""

import argparse
import shlex
from pathlib import Path

import pytest

from launcher.report.command import again
from launcher.runs.run_folder import Run
from trainer.contract import job as contract
from trainer.contract.job import Job


def read(command: str) -> Job:
    parser = argparse.ArgumentParser()
    contract.add_flags(parser)
    options = parser.parse_args(shlex.split(command)[2:])
    return contract.from_sources(options.recipe, options.set, contract.given_flags(options))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": "me/x", "revision": "1234", "lr": 1e-05, "early_stop": None, "keep": "best"},
        {"lora": {"r": 8, "variant": "dora"}, "allow_precision_change": True, "data": "my rows.jsonl"},
        {"plan": {"recompute": True}, "checkpoint": {"minutes": 0.5}, "eval_data": "e $x.jsonl"},
    ],
)  # fmt: skip
def test_it_is_the_same_job(tmp_path, values):
    job = Job.resolve({**values, "output": "runs/a"}, source="test")
    command = again(Run("a", tmp_path), {"job": job.model_dump(mode="json")})
    assert command is not None
    assert command.startswith("launch train")
    assert read(command) == job.model_copy(update={"output": Job().output})
    (tmp_path / "job.json").write_text(job.to_json())
    assert again(Run("a", tmp_path), {}) == command


def test_it_names_the_machine_and_files_as_they_are_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, job = Run("a", tmp_path), {"data": str(tmp_path / "rows" / "x.jsonl"), "seed": 3}
    rented = {"job": job, "where": "runpod", "settings": {"gpu": "A10G", "max_cost": 2.0}}
    assert again(run, rented) == (
        f"launch train --gpu A10G --max-cost 2.0 --data {Path('rows/x.jsonl')} --set seed=3"
    )
    assert again(run, {"job": {}, "where": "docker"}) == "launch train --on docker"
    assert again(run, {}) is None
    assert again(run, {"job": {"unknown": 1}}) is None
