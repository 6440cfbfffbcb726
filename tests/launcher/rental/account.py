"""RunPod, a pod and the way into it, in this process and in virtual time.

A pod is a folder; its supervisor moves on whenever somebody sleeps. Only what the launcher's World
hands out is replaced: the API object and the SSH session.
"""

import contextlib
import hashlib
import importlib.util
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from launcher import world
from launcher.errors import ConnectionLost, HostKeyChanged, PodRefused, WrongState
from launcher.runpod_api import (
    BillingRecord,
    Catalog,
    DataCenter,
    Endpoint,
    Gpu,
    LogLine,
    Pod,
    PodRequest,
    Registry,
    Volume,
)
from launcher.ssh import CommandResult
from tests.system.emulator.pod import ACTIONS
from trainer.contract import events
from trainer.contract import pod as border
from trainer.contract.command.errors import NotFound, ResultRejected
from trainer.contract.episodes import tables_of
from trainer.contract.job import Job

KEY = "rpa_CANARY0123456789"
TOKEN = "hf_CANARY9876543210"
STEPS = 6
BEGIN = 1_800_000_000.0
LONGEST = 3 * 86400.0


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAKE_TRAINER = load(Path(__file__).parent.parent / "fake_trainer.py")


def card(name: str, price: float) -> Gpu:
    return Gpu(
        id=name,
        name=name.removeprefix("NVIDIA "),
        memory=24,
        secure=True,
        secure_price=price,
        max_count=8,
        availability="HIGH",
        data_centers=(),
        cuda={"13.0": True},
    )


COMPARISON = {"n": 4, "base": 0.25, "adapter": 0.75, "difference": 0.5}


def pick_up_episodes(root: Path, job: Job) -> str:
    """The content of the episodes, whose tables must lie beside them by hash."""
    assert job.evaluate is not None
    for sha256 in tables_of(root / job.evaluate).values():
        content = (root / border.upload_name(sha256)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    return (root / job.evaluate).read_text()


@dataclass
class Machine:
    """A pod as it is: its folder, its state, and what its supervisor has come to."""

    request: PodRequest
    id: str
    folder: Path
    born: float
    status: str = "RUNNING"
    boots: int = 1
    port: int = 40001
    stage: str = "booted"
    steps: int = 0
    log: list[LogLine] = field(default_factory=list)
    ended: float | None = None
    ready_at: float = 0.0
    woken: float = 0.0

    @property
    def host_key(self) -> str:
        return f"ssh-ed25519 {self.id}{self.boots}"

    def path(self, name: str) -> Path:
        """A path of the pod as one of this machine."""
        return self.folder / name.lstrip("/")

    @property
    def root(self) -> Path:
        return self.path(str(border.root(self.settings.run_id)))

    @property
    def settings(self) -> border.PodSettings:
        return border.PodSettings.from_env(self.request.env)


class Account:
    """The cloud. ``refuse`` maps a card to faults that its creates meet first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = BEGIN
        self.machines: dict[str, Machine] = {}
        self.refuse: dict[str, list[Exception]] = {}
        self.created: list[PodRequest] = []
        self.gpus = [card("NVIDIA RTX A5000", 0.27), card("NVIDIA GeForce RTX 3090", 0.5)]
        self.real_rate: float | None = None
        self.system: list[str] = ["pulling image", "container started"]
        self.bad_key = False
        self.behaviour = "good"
        self.cuts: list[int] = []  # bytes in all after which the link breaks
        self.moved = 0
        self.lost_reply = 0  # creates that are carried out and then raise this
        self.calls: list[str] = []
        self.forbidden: list[str] = []
        self.billed_rate = 0.2755
        self.unreachable = self.foreign = False
        self.bills = True
        self.probed = border.MAY_ACT
        self.bad_hosts: dict[str, list[str]] = {}  # by card: all that their system log says
        self.centres: list[DataCenter] = []
        self.stored: list[Volume] = []
        self.smi = "CUDA Version: 13.0"
        self.answers: dict[
            str, Callable[[Session, str], CommandResult]
        ] = {}  # to commands with these words
        self.plans: list[tuple[float, Callable[[], None]]] = []  # what happens when
        self.sleep: Callable[[float], None] = self.pass_time
        self._ids = itertools.count(1)

    # What the launcher calls

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def catalog(self, count=1, *, min_cuda=None, tries=6):
        return Catalog(read_at=self.time, count=count, gpus=tuple(self.gpus))

    def registries(self):
        return [Registry(id="reg1", name="mine")]

    def volumes(self):
        return self.stored

    def create_volume(self, name, *, size, data_center):
        made = Volume(id=f"vol-{name}", name=name, size=size, data_center=data_center)
        self.stored.append(made)
        return self.stored[-1]

    def data_centers(self):
        return self.centres

    def create_pod(self, request):
        self.created.append(request)
        if queue := self.refuse.get(request.gpu_id):
            raise queue.pop(0)
        name = f"pod{next(self._ids)}"
        machine = Machine(request, name, self.folder / name, self.time)
        self.machines[name] = machine
        self.boot(machine)
        return self.view(machine)

    def view(self, machine):
        up = machine.status == "RUNNING"
        rate = self.real_rate or next(
            g.secure_price for g in self.gpus if g.id == machine.request.gpu_id
        )
        return Pod(
            id=machine.id,
            name=machine.request.name,
            status=machine.status,
            rate=rate if up else 0.0,
            direct=Endpoint(host="192.0.2.7", port=machine.port) if up else None,
            uptime=int(self.time - machine.born),
        )

    def pods(self, name=None):
        found = [self.view(m) for m in self.machines.values() if m.status != "TERMINATED"]
        return [pod for pod in found if name in {None, pod.name}]

    def pod(self, pod_id):
        machine = self.machines.get(pod_id)
        return None if machine is None or machine.status == "TERMINATED" else self.view(machine)

    def absent(self, pod_id):
        return self.pod(pod_id) is None

    def release(self, pod_id, *, unseen=0.0):
        self.calls.append(f"release {pod_id}")
        self.end(self.machines[pod_id], "TERMINATED")

    def allow(self, pod_id, action):
        """409 for what the state does not allow, by the emulator's table (RunPod's specification)."""
        status = self.machines[pod_id].status
        if action not in ACTIONS.get(status, ()):
            self.forbidden.append(f"{action} in {status}")
            raise WrongState(f"409: {action} is not valid in {status}", "see RunPod's console")

    def stop(self, pod_id):
        self.calls.append(f"stop {pod_id}")
        self.allow(pod_id, "stop")
        self.end(self.machines[pod_id], "EXITED")
        return self.view(self.machines[pod_id])

    def start(self, pod_id):
        self.allow(pod_id, "start")
        machine = self.machines[pod_id]
        machine.status, machine.ended = "RUNNING", None
        machine.port += 1
        machine.boots += 1
        machine.woken = self.time + 3600
        self.boot(machine)
        return self.view(machine)

    def logs(self, pod_id, *, source=None, quiet=15.0):
        machine = self.machines[pod_id]
        at = 0
        while True:
            for line in machine.log[at:]:
                if source in {None, line.source}:
                    yield line
            at = len(machine.log)
            yield None
            self.sleep(quiet)

    def bill(self, pod_id, *, since):
        if not self.bills:
            return []
        machine = self.machines[pod_id]
        hours = ((machine.ended or self.time) - machine.born) / 3600
        total = hours * self.billed_rate
        return [BillingRecord(pod_id=pod_id, total=total, gpu=total)]

    def clock_drift(self):
        return 0.0

    # How pods live

    def say(self, machine, source, text):
        machine.log.append(LogLine(id=str(len(machine.log)), source=source, line=text))

    def boot(self, machine):
        run_id = machine.settings.run_id
        bad = self.bad_hosts.get(machine.request.gpu_id)
        for text in self.system if bad is None else bad:
            self.say(machine, "system", text)
        if bad is not None:
            return
        told = "ssh-ed25519 AAAA" if self.bad_key else machine.host_key
        line = border.host_key_line(run_id, machine.boots, told)
        self.say(machine, "container", line)
        (machine.root / "run").mkdir(parents=True, exist_ok=True)
        (machine.root / "inbox").mkdir(parents=True, exist_ok=True)
        self.tell(machine, events.Phase(name="booted"))
        self.tell(machine, events.Phase(name="probed", detail=self.probed))
        if machine.stage in {"ready", "released"}:
            self.get_ready(machine)

    def get_ready(self, machine):
        machine.stage, machine.ready_at = "ready", self.time
        self.tell(machine, events.Phase(name="ready"))

    def end(self, machine, status):
        machine.status = status
        if machine.ended is None:
            machine.ended = self.time

    def tell(self, machine, event):
        with events.Writer(machine.root / "run" / "events.jsonl") as write:
            write.emit(event)

    def pass_time(self, seconds):
        self.time += seconds
        assert self.time < BEGIN + LONGEST, "a wait without an end"
        due = [plan for plan in self.plans if plan[0] <= self.time]
        self.plans = [plan for plan in self.plans if plan not in due]
        for _, do in due:
            do()
        for machine in self.machines.values():
            if machine.status == "RUNNING":
                self.live(machine)

    def live(self, machine):
        told = machine.settings
        if self.time >= (machine.woken or told.gone_by):
            self.end(machine, "EXITED")
            return
        run = machine.root / "run"
        if machine.stage == "booted" and (machine.root / "inbox" / "job.json").exists():
            job = Job.from_json(machine.root / "inbox" / "job.json")
            content = (machine.root / job.data).read_bytes()
            assert hashlib.sha256(content).hexdigest() == job.data.removeprefix("inbox/")
            (run / "job.json").write_text(job.to_json())
            machine.stage = "training"
            marks = (run / "checkpoints").glob("checkpoint-*/checkpoint.json")
            machine.steps = max((int(p.parent.name.split("-")[1]) for p in marks), default=0)
            self.tell(machine, events.Phase(name="accepted"))
        elif machine.stage == "training":
            self.train(machine, run)
        elif machine.stage == "ready" and self.time > machine.ready_at + told.grace_seconds:
            self.end(machine, "EXITED")

    def train(self, machine, run):
        if self.behaviour == "hang" and self.time < machine.settings.finish_by:
            return
        late = self.time >= machine.settings.finish_by or self.behaviour == "asked"
        if machine.steps < STEPS and not late:
            machine.steps += 1
            self.tell(machine, FAKE_TRAINER.one_step(machine.steps, STEPS))
            with (run / "train.log").open("a") as log:
                log.write(f"step {machine.steps}\n")
            if self.behaviour == "fail" and machine.steps == 3:
                self.tell(machine, events.Failed(cause="loss is not a number", exit_code=9))
                self.get_ready(machine)
            return
        if late:
            saved = run / "checkpoints" / f"checkpoint-{machine.steps}"
            (saved / "rng").mkdir(parents=True, exist_ok=True)
            (saved / "rng" / "state.pt").write_bytes(b"r" * 5000)
            (saved / "checkpoint.json").write_text("{}")
            self.tell(machine, events.Failed(cause="the time is up", exit_code=9))
        FAKE_TRAINER.save_adapter(run / "adapter")
        (run / "adapter" / "weights.bin").write_bytes(b"w" * 3_000_000)
        job = Job.from_json(run / "job.json")
        FAKE_TRAINER.save_manifest(run, job)
        if late:
            found = json.loads((run / "manifest.json").read_text())
            (run / "manifest.json").write_text(json.dumps(found | {"complete": False}))
        self.tell(machine, events.Done(manifest="manifest.json"))
        if job.evaluate and not late:
            episodes = pick_up_episodes(machine.root, job)
            (run / "evaluation").mkdir()
            (run / "evaluation" / "base.jsonl").write_text(episodes)
            (run / "comparison.json").write_text(json.dumps(COMPARISON))
            self.tell(machine, events.Phase(name="evaluated"))
        self.get_ready(machine)

    def alive(self):
        return [m for m in self.machines.values() if m.status not in {"TERMINATED", "EXITED"}]


class Session:
    """What ``launcher.ssh.Session`` does, on the pod's folder."""

    def __init__(self, account: Account, machine: Machine) -> None:
        self.account = account
        self.machine = machine
        self.boots = machine.boots

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def wire(self, count=0):
        """Every byte passes here; the link breaks where the account says."""
        account = self.account
        account.moved += count
        if account.unreachable or account.foreign:
            raise ConnectionLost("the link is cut")
        if self.machine.status != "RUNNING" or self.boots != self.machine.boots:
            raise ConnectionLost("the pod is not there")
        if account.cuts and account.moved >= account.cuts[0]:
            del account.cuts[0]
            raise ConnectionLost("the link is cut")

    def run(self, command, *, stdin=(), timeout=30.0):
        self.wire()
        if re.search(r"kill -(TERM|KILL)", command):
            self.account.behaviour = "asked"
            return CommandResult(0, b"", b"")
        if command == "nvidia-smi":
            return CommandResult(0, self.account.smi.encode(), b"")
        for words, answer in self.account.answers.items():
            if words in command:
                return answer(self, command)
        here = command.replace("/workspace", str(self.machine.path("/workspace")))
        done = subprocess.run(["sh", "-c", here], capture_output=True, check=False)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def stream(self, path, offset=0):
        self.wire()
        file = self.machine.path(path)
        if not file.is_file():
            raise NotFound(f"the pod has no {path}")
        data = file.read_bytes()
        if len(data) < offset:
            raise ResultRejected(f"{path} is shorter")
        for at in range(offset, len(data), 1 << 18):
            piece = data[at : at + (1 << 18)]
            self.wire(len(piece))
            yield piece

    def size(self, path):
        self.wire()
        file = self.machine.path(path)
        return file.stat().st_size if file.is_file() else None

    def send(self, path, pieces, *, append=False):
        file = self.machine.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        if "full" in self.account.behaviour:
            raise PodRefused("the pod cannot write: No space left on device")
        with file.open("ab" if append else "wb") as out:
            for piece in pieces:
                self.wire(len(piece))
                out.write(piece)

    def put(self, path, data):
        self.send(f"{path}.part", [data])
        self.rename(f"{path}.part", path)

    def rename(self, path, to):
        self.wire()
        self.machine.path(path).replace(self.machine.path(to))

    def sha256(self, path):
        return hashlib.sha256(self.machine.path(path).read_bytes()).hexdigest()


class Child:
    pid = 4242

    def exit_code(self):
        return None


class VirtualWorld(world.World):
    """This account's world. ``interrupt_at``: virtual instants at which Ctrl-C is pressed."""

    def __init__(self, account: Account, **variables: str) -> None:
        self.account = account
        account.sleep = self.sleep
        self.variables = {"RUNPOD_API_KEY": KEY, "HF_TOKEN": TOKEN, **variables}
        self.started: list[tuple[list[str], dict[str, str]]] = []
        self.press: Any = lambda: False
        self.counts: list[world.Interrupts] = []
        self._tokens = itertools.count(0xA000)

    def now(self):
        return self.account.time

    def pause(self, seconds):
        self.account.pass_time(seconds)
        if self.press() and self.counts:
            self.counts[-1].count += 1

    def draw(self):
        return 0.5

    def token(self):
        return f"{next(self._tokens):04x}"

    def variable(self, name):
        return self.variables.get(name) or (
            super().variable(name) if name.startswith("XDG_STATE") else ""
        )

    def home(self):
        return self.account.folder / "home"

    def api(self, key):
        assert key == KEY
        return self.account

    def connect(self, host, port, *, user, key, host_key, stop=None):
        assert key.is_file()
        if self.account.unreachable:
            end = self.now() + 15.0
            while self.now() < end and not stop():
                self.pause(1.0)
            raise ConnectionLost(f"SSH to {host}:{port}: timed out")
        if self.account.foreign:
            raise HostKeyChanged(f"SSH to {host}:{port}: the host key differs", "nothing was sent")
        for machine in self.account.machines.values():
            if machine.port == port and machine.status == "RUNNING":
                if host_key != machine.host_key:
                    raise HostKeyChanged("the host key differs")
                return Session(self.account, machine)
        raise ConnectionLost("nobody answers")

    def start(self, command, *, log, lock, variables=None):
        self.started.append((command, dict(variables or {})))
        return Child()

    @contextlib.contextmanager
    def interrupts(self, seen):
        self.counts.append(seen)
        yield
        self.counts.pop()
