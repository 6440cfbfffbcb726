"""The task as YAML reads it, against the fields that SkyPilot documents; its script as bash runs it.

SkyPilot itself (450 MB, a hundred packages) is not installed for tests. Its parser was asked by hand, with
``sky.Task.from_yaml(FILE)``: docker/README.md says when, and which version.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from launcher import cli, skypilot
from launcher.quote import gpu_names
from launcher.settings import Settings
from trainer.contract import episodes, validation
from trainer.contract.command.errors import Usage
from trainer.contract.job import Job

IMAGE = "ghcr.io/me/sft@sha256:" + "0" * 64
# https://docs.skypilot.co/en/latest/reference/yaml-spec.html
FIELDS = {"name", "num_nodes", "resources", "file_mounts", "run"}
RESOURCES = {"accelerators", "image_id", "disk_size", "autostop"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    project = tmp_path / "project"
    (project / "episodes").mkdir(parents=True)
    (project / "base").mkdir()
    (project / "base" / "config.json").write_text("{}")
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    (project / "rows.jsonl").write_text(json.dumps({"messages": said}) + "\n")
    (project / "t.csv").write_text("a\n1\n")
    table = {"path": "../t.csv", "sha256": hashlib.sha256(b"a\n1\n").hexdigest()}
    (project / "episodes" / "test.jsonl").write_text(json.dumps({"tables": [table]}) + "\n")
    monkeypatch.chdir(project)
    return project


def emit(*more):
    words = ["train", "--data", "rows.jsonl", "--image", IMAGE, "--run-id", "r.1", *more]
    assert cli.main([*words, "--emit", "skypilot", "task.yaml"]) == 0
    return yaml.safe_load(Path("task.yaml").read_text("utf-8"))


def test_the_task_has_the_documented_fields(folder):
    found = emit("--gpu", "A100:4", "--nodes", "2", "--grace", "20")
    assert set(found) == FIELDS
    assert set(found["resources"]) == RESOURCES
    assert (found["name"], found["num_nodes"]) == ("sft-r-1", 2)
    assert found["resources"]["accelerators"] == {"A100-80GB": 4, "A100-80GB-SXM": 4}
    assert found["resources"]["image_id"] == f"docker:{IMAGE}"
    assert found["resources"]["disk_size"] == 60
    assert found["resources"]["autostop"] == {"idle_minutes": 20, "down": False}
    assert found["file_mounts"] == {"~/sft/files/rows.jsonl": str(folder / "rows.jsonl")}
    assert emit("--on-deadline", "delete", "--overwrite")["resources"]["autostop"]["down"] is True


def test_what_is_to_be_typed_then_is_said(folder, capsys):
    emit()
    text = capsys.readouterr().out
    for command in ("sky launch -c sft-r-1 task.yaml", "rsync -Pavz sft-r-1:", "sky down sft-r-1"):
        assert command in text
        assert command in Path("task.yaml").read_text()
    assert not (folder / "runs").exists()


def ran(found, tmp_path, monkeypatch, *, nodes="1", again=False):
    """What the image's Python was called with, and the job it was given, on such a machine."""
    home = tmp_path / "machine"
    for there, here in found["file_mounts"].items():
        place = home / there.removeprefix("~/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(here)
    if again:
        (home / "sft" / "run" / "checkpoints").mkdir(parents=True)
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >called\n')
    stub.chmod(0o755)
    variables = {
        "HOME": str(home),
        "PATH": os.defpath,
        "SKYPILOT_NUM_NODES": nodes,
        "SKYPILOT_NUM_GPUS_PER_NODE": "4",
        "SKYPILOT_NODE_RANK": "1",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
    }
    script = found["run"].replace(skypilot.PYTHON, str(stub))
    subprocess.run(["bash", "-euc", script], env=variables, check=True, timeout=30)
    monkeypatch.chdir(home / "sft")
    return Path("called").read_text().splitlines(), Job.from_json(Path("job.json"))


def test_one_machine_runs_the_job_with_everything_where_it_says(folder, tmp_path, monkeypatch):
    found = emit("--model", "base", "--evaluate", "episodes/test.jsonl", "--lr", "1e-3")
    called, job = ran(found, tmp_path, monkeypatch)
    assert called == ["-P", "-m", "trainer", "job.json"]
    assert Path(job.data).read_bytes() == (folder / "rows.jsonl").read_bytes()
    assert (Path(job.model) / "config.json").is_file()
    assert job.evaluate is not None
    assert len(episodes.check(Path(job.evaluate))) == 1
    assert (job.output, job.lr) == ("run", 1e-3)


def test_episodes_to_choose_by_go_along(folder, tmp_path, monkeypatch):
    found = emit("--keep", "best", "--validate", "episodes/test.jsonl")
    _, job = ran(found, tmp_path, monkeypatch)
    assert job.keep == "best"
    validation.check(job)


def test_begun_again_it_goes_on(folder, tmp_path, monkeypatch):
    called, _ = ran(emit(), tmp_path, monkeypatch, again=True)
    assert called == ["-P", "-m", "trainer", "job.json", "--resume"]


def test_several_machines_meet_at_the_first(folder, tmp_path, monkeypatch):
    found = emit("--gpu", "H100:4", "--nodes", "2")
    called, _ = ran(found, tmp_path, monkeypatch, nodes="2")
    assert "share no folder" in Path(folder / "task.yaml").read_text()
    assert called == [
        *("-P", "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=4"),
        *("--node-rank=1", "--master-addr=10.0.0.1", "--master-port=29500"),
        *("--rdzv-conf=timeout=300", "-m", "trainer", "job.json"),
    ]


@given(text=st.text(min_size=1, max_size=60))
def test_whatever_a_job_says_survives_yaml_and_the_shell(text, tmp_path_factory):
    job = Job(model=text, data="/d/rows.jsonl", output="/d/runs/a")
    mounts = {"~/sft/files/rows.jsonl": "/d/rows.jsonl"}
    script = skypilot.script(job, Settings(), mounts, nodes=1)
    body = script.split("<<'JOB'\n")[1].split("\nJOB\n")[0]
    assert Job.model_validate_json(body).model == text
    assert yaml.safe_load("run: |\n" + skypilot.indented(script))["run"] == script


def test_every_card_has_a_name_there(folder):
    assert all(card.skypilot for card in gpu_names.CARDS.values())
    assert skypilot.accelerators("A10G") == {"A10G": 1}
    assert skypilot.accelerators("4090:2") == {"RTX4090": 2}
    with pytest.raises(Usage):
        skypilot.accelerators("A10H")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--emit", "terraform"], 2),
        (["--emit", "skypilot", "a", "b"], 2),
        (["--emit", "skypilot", "--nodes", "0"], 2),
        (["--nodes", "2"], 2),
        (["--emit", "skypilot", "rows.jsonl"], 5),
    ],
)
def test_what_cannot_be_written_is_a_fault(folder, capsys, words, code):
    assert cli.main(["train", "--data", "rows.jsonl", "--image", IMAGE, *words]) == code
    assert "error: " in capsys.readouterr().err


def test_without_an_image_it_says_where_one_is_to_be_named(folder, capsys):
    assert cli.main(["train", "--data", "rows.jsonl", "--emit", "skypilot"]) == 2
    assert "--image-repo" in capsys.readouterr().err
    words = ["--image-repo", "ghcr.io/me/sft", "--emit", "skypilot"]
    assert cli.main(["train", "--data", "rows.jsonl", *words]) == 0
    found = yaml.safe_load(Path("skypilot.yaml").read_text())
    assert found["resources"]["image_id"].startswith("docker:ghcr.io/me/sft:")
    assert "launch image" in capsys.readouterr().out
