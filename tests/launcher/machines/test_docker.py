"""What a container is created with, on engines of every kind. No engine here."""

import json
import shutil
from dataclasses import replace
from typing import Any

import docker.errors
import pytest
import requests

from launcher.context import Context
from launcher.errors import NoEngine
from launcher.follow import watch
from launcher.machines.docker import Docker, name_of
from launcher.runs.run_folder import Run, hold
from launcher.settings import Settings
from launcher.world import World
from trainer.contract.command.errors import BadJob
from trainer.contract.job import Job
from trainer.contract.manifest import hash_file

CANARY = "hf_CANARY9876543210"


class Engine:
    """Answers as the docker package does, for one container that can be started."""

    def __init__(self, *, fails: str = "", **info: Any) -> None:
        self.images = self.containers = self
        self.facts, self.fails = info, fails
        self.attrs = {"State": {"Status": "running", "Pid": 77, "ExitCode": 0}}
        self.created: dict[str, Any] = {}
        self.removed = False
        self.api, self.id, self.name = self, "container", "sft-r1"
        self.answers: dict[str, int] = {}  # HTTP status of a call that fails
        self.executed: list[Any] = []
        self.piped = b""

    def exec_create(self, container: str, command: list[str], *, stdin: bool) -> dict[str, str]:
        self.executed.append(command)
        return {"Id": "e"}

    def exec_start(self, exec_id: str, *, socket: bool) -> "Engine":
        return self

    def sendall(self, value: bytes) -> None:
        self.piped += value

    def recv(self, size: int) -> bytes:
        return b""

    def close(self) -> None:
        pass

    def info(self) -> dict[str, Any]:
        return self.facts

    def get(self, name: str) -> "Engine":
        if name.startswith("sft-") and not self.created:
            raise docker.errors.NotFound("no such container")
        return self

    def create(self, image: str, **how: Any) -> "Engine":
        self.created = {"image": image, **how}
        return self

    def start(self) -> None:
        if self.fails:
            raise docker.errors.APIError(self.fails, explanation=self.fails)

    def _answer(self, call: str) -> None:
        if status := self.answers.get(call):
            answer = requests.Response()
            answer.status_code = status
            raise docker.errors.APIError(call, response=answer)

    def reload(self) -> None:
        self._answer("reload")

    def remove(self, *, force: bool) -> None:
        self._answer("remove")
        self.removed = force

    def kill(self, *, signal: str) -> None:
        raise docker.errors.APIError("is not running")


@pytest.fixture
def machine(heard, monkeypatch):
    """`machine(engine, settings)`"""

    def make(engine: Engine, settings: Settings | None = None) -> Docker:
        world = World()
        monkeypatch.setattr(world, "docker", lambda: engine)
        return Docker(Context(world, heard, settings or Settings(image="some/image:1")))

    return make


@pytest.fixture
def run(tmp_path) -> Run:
    return Run("r1", tmp_path)


JOB = Job(model="bundled:tiny", data="/data/rows.jsonl", eval_data="/data/eval.jsonl")


def started(machine: Docker, run: Run, job: Job = JOB, *, resume: bool = False):
    with hold(run, world=machine.context.world) as log:
        return machine.start(run, job, log, resume=resume), log.entries


def test_a_container_sees_what_the_job_names_at_the_same_paths(machine, run):
    engine = Engine()
    work, entries = started(machine(engine), run, resume=True)
    assert engine.created["image"] == "some/image:1"
    assert engine.created["command"] == ["train", str(run.job), "--resume"]
    assert engine.created["volumes"] == [
        f"{run.folder}:{run.folder}:rw",
        "/data/rows.jsonl:/data/rows.jsonl:ro",
        "/data/eval.jsonl:/data/eval.jsonl:ro",
    ]
    assert "device_requests" not in engine.created
    assert work.pid == 77
    assert entries[-1].facts == {"pid": 77}
    assert entries[-2].facts["container"] == name_of(run)


def test_episodes_and_their_tables_are_mounted_where_they_are(machine, run, tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "t.csv").write_text("a\n1\n")
    sha256 = hash_file(tmp_path / "t.csv").sha256
    line = json.dumps({"tables": [{"path": "../t.csv", "sha256": sha256}]})
    (tmp_path / "e" / "x.jsonl").write_text(line + "\n")
    engine = Engine()
    asked = {"evaluate": f"{tmp_path}/e/x.jsonl", "validation": f"{tmp_path}/e/v.jsonl"}
    shutil.copy(asked["evaluate"], asked["validation"])
    started(machine(engine), run, JOB.model_copy(update=asked))
    for path in (*asked.values(), f"{tmp_path}/t.csv"):
        assert f"{path}:{path}:ro" in engine.created["volumes"]


def test_weights_of_the_hub_are_kept_and_a_local_model_is_only_read(
    machine, run, monkeypatch, tmp_path
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    engine = Engine()
    started(machine(engine), run, JOB.model_copy(update={"model": "Qwen/Qwen2.5-3B-Instruct"}))
    assert f"{tmp_path}/hf:{tmp_path}/hf:rw" in engine.created["volumes"]
    assert engine.created["environment"]["HF_HOME"] == f"{tmp_path}/hf"
    assert (tmp_path / "hf").is_dir()
    started(machine(engine), run, JOB.model_copy(update={"model": "/models/mine"}))
    assert "/models/mine:/models/mine:ro" in engine.created["volumes"]


def test_the_token_comes_over_a_pipe_into_memory(machine, run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    monkeypatch.setattr("os.getegid", lambda: 5678)
    engine = Engine()
    started(machine(engine), run, JOB.model_copy(update={"model": "meta-llama/Llama-3.2-3B"}))
    assert engine.created["tmpfs"] == {"/run/sft-secrets": "size=64k,mode=0700,uid=1234,gid=5678"}
    assert engine.created["environment"]["HF_TOKEN_PATH"] == "/run/sft-secrets/HF_TOKEN"
    assert engine.created["environment"]["SFT_AWAIT"] == "/run/sft-secrets/HF_TOKEN"
    assert engine.piped == CANARY.encode()
    assert CANARY not in repr((engine.created, engine.executed))
    kept = [path for path in run.folder.rglob("*") if path.is_file()]
    assert all(CANARY not in path.read_text() for path in kept)


@pytest.mark.parametrize("model", ["bundled:tiny", "/models/mine"])
def test_a_model_that_is_here_needs_no_token(machine, run, monkeypatch, model):
    monkeypatch.setenv("HF_TOKEN", CANARY)
    engine = Engine()
    started(machine(engine), run, JOB.model_copy(update={"model": model}))
    assert engine.piped == b""
    assert engine.created["tmpfs"] == {}


def test_gpus_and_users_are_as_the_engine_has_them(machine, run, heard, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    monkeypatch.setattr("os.getegid", lambda: 5678)
    gpus = Engine(Runtimes={"nvidia": {}, "runc": {}}, SecurityOptions=["name=rootless"])
    chosen = machine(gpus)
    assert chosen.missing(JOB) == []
    started(chosen, run)
    assert gpus.created["device_requests"][0]["Count"] == -1
    assert gpus.created["user"] == "0:0"
    assert "GPUs" in heard.lines[-1]
    plain = Engine(Runtimes={"runc": {}}, SecurityOptions=None)
    started(machine(plain), run)
    assert plain.created["user"] == "1234:5678"


def test_a_cpu_gets_an_image_for_a_cpu(machine, run):
    ((sent,), _) = machine(Engine(), Settings()).preview(run, JOB, None)
    ((with_gpu,), _) = machine(Engine(Runtimes={"nvidia": {}}), Settings()).preview(run, JOB, None)
    assert sent["image"].startswith("sft-launch:train-")
    assert sent["image"] != with_gpu["image"]
    (fault,) = machine(Engine(), Settings(build_args="nonsense")).missing(JOB)
    assert isinstance(fault, BadJob)
    assert "build_args" in fault.cause


def test_a_container_that_cannot_start_is_not_left_behind(machine, run):
    engine = Engine(fails="no such mount")
    with pytest.raises(NoEngine, match="no such mount"):
        started(machine(engine), run)
    assert engine.removed


@pytest.mark.parametrize(("code", "seen"), [(0, 0), (130, 130), (137, -9), (143, -15), (9, 9)])
def test_an_exit_code_tells_signals_apart(machine, run, code, seen):
    engine = Engine()
    work, _ = started(machine(engine), run)
    assert work.alive()
    engine.attrs["State"] |= {"Status": "exited", "ExitCode": code}
    work.stop()  # too late: no complaint
    assert (work.alive(), work.exit_code(), engine.removed) == (False, seen, True)


@pytest.mark.parametrize("answers", [{"reload": 404}, {"remove": 404}, {"remove": 409}])
def test_a_container_that_was_removed_is_not_alive_and_says_so(machine, run, heard, answers):
    """The statuses are those of Docker's API: no such container; its removal is in progress."""
    engine = Engine()
    chosen = machine(engine)
    work, _ = started(chosen, run)
    engine.answers = answers
    engine.attrs["State"] |= {"Status": "exited", "ExitCode": 137}
    with hold(run, world=chosen.context.world) as log:
        fault = watch(run, work, log, chosen.context)
        assert fault is not None
        log.note_end(fault, exit_code=work.exit_code())
    assert fault.cause == "the trainer ended because its container sft-r1 was removed"
    assert fault.hint == "continue from the last checkpoint with: launch train --resume r1"
    assert not [line for line in heard.lines if "keeps running" in line]
    assert work.exit_code() is None


def test_what_an_engine_that_is_gone_left_running_is_unknown(machine, run, heard):
    engine = Engine()
    chosen = machine(engine)
    work, _ = started(chosen, run)
    engine.answers = {"reload": 500}
    with hold(run, world=chosen.context.world) as log, pytest.raises(NoEngine):
        watch(run, work, log, chosen.context)
    assert heard.lines[-1] == (
        "whether the trainer still runs is unknown; continue with: launch train --resume r1"
    )


def test_what_never_started_is_not_found_but_removed(machine, run):
    engine = Engine()
    chosen = machine(engine)
    with hold(run, world=chosen.context.world) as log:
        assert chosen.find(run, log) is None
        engine.created = {"image": "x"}
        assert chosen.find(run, log) is not None
        engine.attrs["State"]["Status"] = "created"
        assert chosen.find(run, log) is None
    assert engine.removed


def test_two_folders_may_hold_runs_of_one_id(run):
    assert name_of(run) == name_of(Run("r1", run.folder))
    assert name_of(run) != name_of(replace(run, folder=run.folder / "other"))
