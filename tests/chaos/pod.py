"""A rented pod: the real supervisor in it, its processes scripted, its disk a folder."""

import hashlib
import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from launcher.errors import ConnectionLost, PodRefused
from launcher.ssh import CommandResult
from tests.chaos.clock import Actor
from tests.launcher.rental.account import FAKE_TRAINER
from trainer import checkpoints
from trainer.contract import pod as border
from trainer.contract.command.errors import NotFound, ResultRejected
from trainer.contract.job import Job
from trainer.pod.paths import Paths
from trainer.pod.release import Answer, deadline_action, stop_or_delete
from trainer.pod.sshd import Sshd
from trainer.pod.supervise import supervise
from trainer.pod.system import System

if TYPE_CHECKING:
    from tests.chaos.cloud import Cloud

BLOCK = 1 << 16
# What Docker's engine reports of an image without this project's entry point.
NOT_OURS = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create "
    'failed: unable to start container process: exec: "pod": executable file not found in $PATH: unknown'
)


def line(kind, **fields):
    return json.dumps({"v": 1, "type": kind, **fields}).encode()


class Child:
    """Runs a script of (instant, line, exit code or thing to do), as far as time has come."""

    def __init__(self, clock, script=(), *, on_ask=None):
        self.clock, self.script, self.on_ask = clock, list(script), on_ask
        self.code: int | None = None
        self.said: list[bytes] = []

    def _catch_up(self):
        while self.code is None and self.script and self.script[0][0] <= self.clock.time:
            _, what = self.script.pop(0)
            what = what() if callable(what) else what
            if isinstance(what, bytes):
                self.said.append(what)
            elif isinstance(what, int):
                self.code = what

    def poll(self):
        self._catch_up()
        return self.code

    def lines(self):
        self._catch_up()
        said, self.said = self.said, []
        return said

    def terminate(self):
        self._catch_up()
        if self.on_ask is not None and self.code is None:
            self.script, self.on_ask = self.on_ask(), None

    def kill(self):
        if self.code is None:
            self.code = -signal.SIGKILL


class GuardChild(Child):
    """``trainer.pod.release --at``: what its ``main`` does, in virtual time."""

    def __init__(self, pod, at, on_deadline):
        super().__init__(pod.clock)
        self.pod, self.on_deadline = pod, on_deadline
        self.actor: Actor | None = None
        self.clock.at(at, self._begin)

    def _begin(self):
        if self.code is None:
            self.actor = self.clock.spawn(f"guard in {self.pod.id}", self._act, laptop=False)

    def _act(self):
        root = self.pod.root
        action = deadline_action(root / "run", self.on_deadline)
        mark = root / "released"
        stop_or_delete(
            action,
            act=self.pod.act,
            mark=mark,
            say=self.pod.say,
            sleep=self.clock.sleep,
            at_deadline=True,
        )

    def kill(self):
        super().kill()
        if self.actor is not None:
            self.clock.kill(self.actor)


class Pod:
    """``plan`` says how it comes up and how fast it trains. ``held``: spans in which a GPU is billed."""

    def __init__(self, cloud: "Cloud", number: int, body, plan: SimpleNamespace):
        self.cloud, self.clock, self.plan, self.body = cloud, cloud.clock, plan, body
        self.id, self.name = f"pod{number}", str(body["name"])
        self.number = number
        self.folder = cloud.folder / self.id
        self.settings = border.PodSettings.from_env(body["env"])
        self.gpu = next(g for g in cloud.gpus if g["id"] == body["gpu"]["id"])
        self.status = "PROVISIONING"
        self.held: list[list[float | None]] = [[self.clock.time, None]]
        self.woken: list[float] = []
        self.log: list[tuple[str, str]] = []
        self.port, self.up_at, self.starts = 40000 + 100 * number, 0.0, 0
        self.door_at: float | None = None
        self.stop_asked = False
        self.actor: Actor | None = None
        self.children: list[Child] = []
        self.trainer: Child | None = None
        self.host_key, self.foreign_until = "", 0.0
        self.cut_at = 0.0
        self.pod_disk_full_until = self.sending_until = 0.0
        self.lost = self.frozen = self.failed = False
        self.finished: dict[str, str] | None = None  # sha256 by name of a complete adapter
        root = self.folder / str(border.root(self.settings.run_id)).lstrip("/")
        secrets = self.path(str(border.SECRETS))
        secrets.parent.mkdir(parents=True)
        door = Sshd(root / "ssh", self.folder / "run", ("sshd",))
        hf = self.folder / "hf"
        self.places = Paths(root, hf, secrets, door, ("trainer",), ("datagen",))
        self.clock.at(self.clock.time + plan.pull, self._pulled)

    @property
    def root(self) -> Path:
        return self.places.root

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    # How it comes up and goes

    def _pulled(self):
        if self.status != "PROVISIONING":
            return
        how = self.plan.how
        if how == "hangs":
            return
        self.log.append(("system", "pulling image"))
        if how == "fails":
            self.log.append(("system", "failed to register layer: no space left on device"))
            return
        if how == "bad image":
            self.log.append(("system", NOT_OURS))
            return
        if how == "exits":
            self.stop()
            return
        self.log.append(("system", "container started"))
        self.begin()

    def begin(self):
        """A container starts."""
        if self.status not in {"PROVISIONING", "STARTING", "RUNNING"}:
            return
        self.status, self.up_at, self.stop_asked = "RUNNING", self.clock.time, False
        self.starts += 1
        if self.plan.how == "loops" and self.starts < 12:
            line_ = border.host_key_line(self.settings.run_id, self.starts, "ssh-ed25519 AAAA")
            self.log.append(("container", line_))
            self.clock.at(self.clock.time + 15, self.begin)
            return
        env = {**self.body["env"], "RUNPOD_API_KEY": "pod-key", "RUNPOD_POD_ID": self.id}
        self.actor = self.clock.spawn(
            f"supervisor of {self.id}",
            lambda: supervise(self.settings, env, self.places, cast(System, Inside(self))),
            laptop=False,
        )

    def end_container(self):
        """``kill -9`` of all that runs in it."""
        if self.actor is not None:
            self.clock.kill(self.actor)
        for child in self.children:
            child.kill()
        self.children, self.door_at, self.cut_at = [], None, self.clock.time

    def freeze(self):
        """Its container hangs for good, and bills on."""
        self.end_container()
        self.frozen = True

    def fail(self):
        """Its host fails under it: state ERROR, billed, and only start and terminate are allowed."""
        self.freeze()
        self.status, self.failed = "ERROR", True

    def restart(self, after: float, *, port: bool, new_key: bool):
        if self.status != "RUNNING":
            return
        self.end_container()
        if port:
            self.port += 1
        if new_key:
            for path in (self.root / "ssh").glob("*"):
                path.unlink()
        self.clock.at(self.clock.time + after, self._restarted)

    def _restarted(self):
        if self.status == "RUNNING" and self.door_at is None and not self.frozen:
            self.begin()

    def stop(self):
        if self.status in {"EXITED", "TERMINATED"}:
            return
        self.status, self.stop_asked = "EXITED", True
        self.held[-1][1] = self.clock.time
        self.door_at, self.cut_at = None, self.clock.time
        actor, children = self.actor, self.children
        self.children = []

        def end():
            if actor is not None:
                self.clock.kill(actor)
            for child in children:
                child.kill()

        self.clock.at(self.clock.time + 10, end)

    def start(self):
        self.status, self.stop_asked, self.frozen = "STARTING", False, False
        if self.held[-1][1] is None:  # in ERROR it was billed on
            self.held[-1][1] = self.clock.time
        self.held.append([self.clock.time, None])
        self.woken.append(self.clock.time)
        self.port += 1
        self.clock.at(self.clock.time + 15, self.begin)

    def delete(self, by: str):
        if self.status == "TERMINATED":
            return
        if by != "host":
            self.cloud.on_delete(self, by)
        self.lost = by == "host"
        self.stop()
        self.status = "TERMINATED"
        self.end_container()

    # ``trainer.pod.system.System``

    def now(self) -> float:
        return self.clock.time

    def wait(self, seconds, child=None):
        self.clock.sleep(max(seconds, self.cloud.grain))

    def say(self, text):
        self.log += [("container", part) for part in text.splitlines()]

    def gpu_use(self):
        return self.plan.gpu_use

    def download_is_running(self, port):
        return self.clock.time < self.sending_until

    def probe(self):
        self.clock.me.check()
        if self.plan.may:
            return Answer(422, "invalid", only=self.plan.may)
        return Answer(*self.plan.probe)

    def act(self, action):
        return self.cloud.act_from_inside(self, action)

    def start_child(self, argv, log):
        if argv[0] == "ssh-keygen":
            key = f"ssh-ed25519 AAAA{self.id}x{self.starts}"
            path = Path(argv[argv.index("-f") + 1])
            path.write_text("PRIVATE")
            path.with_name(f"{path.name}.pub").write_text(f"{key}\n")
            return Child(self.clock, [(self.clock.time, 0)])
        if argv[0] == "sshd":
            self.host_key = (self.root / "ssh" / "ssh_host_ed25519_key.pub").read_text().strip()
            self.door_at = self.clock.time + self.plan.door
            return Child(self.clock)
        if "trainer.pod.release" in argv:
            at = float(argv[argv.index("--at") + 1])
            return GuardChild(self, at, argv[argv.index("--on-deadline") + 1])
        assert argv[0] == "trainer"
        script = self._from_checkpoint() if "--from-checkpoint" in argv else self._training(argv)
        with log.open("a") as file:
            file.write(f"started {len(argv)}\n")
        self.trainer = Child(self.clock, script, on_ask=self._saving)
        return self.trainer

    # What the trainer does

    def _training(self, argv):
        plan, now = self.plan, self.clock.time
        marks = checkpoints.whole(self.root / "run") if "--resume" in argv else []
        first = marks[-1][1].step if marks else 0
        at = now + 20
        script = [(now, line("phase", name="data")), (now + 5, line("phase", name="model"))]
        script.append((at, line("phase", name="train")))
        for step in range(first + 1, plan.steps + 1):
            at += plan.pace
            if step == plan.hangs_at:
                return script
            script.append(
                (
                    at,
                    line(
                        "step",
                        **FAKE_TRAINER.one_step(step, plan.steps).model_dump(
                            exclude={"type", "v", "seq", "time"}
                        ),
                    ),
                )
            )
            if step == plan.fails_at:
                words = {"cause": "the disk is full", "hint": "free some", "exit_code": 8}
                script += [(at, line("failed", **words)), (at + 1, 8)]
                return script
            if step == plan.crashes_at and first == 0:
                script.append((at, -11))
                return script
            if step % plan.checkpoint == 0:
                script.append((at + 1, lambda n=step: self.checkpoint(n)))
        script.append((at + 2, line("phase", name="save")))
        script.append((at + 10, lambda: self.result(complete=True)))
        script.append((at + 11, line("done", manifest="manifest.json")))
        script.append((at + 12, 0))
        return script

    def _saving(self):
        now = self.clock.time
        if self.finished:
            return [(now, 0)]
        steps = (self.root / "run" / "events.jsonl").read_bytes().count(b'"type":"step"')
        return [
            (now + 3, lambda: self.checkpoint(max(steps, 1))),
            (now + 4, line("failed", cause="interrupted", hint="", exit_code=130)),
            (now + 5, 130),
        ]

    def _from_checkpoint(self):
        now = self.clock.time
        done = line("done", manifest="manifest.json")
        return [(now + 5, lambda: self.result(complete=False)), (now + 6, done), (now + 7, 0)]

    def checkpoint(self, step):
        folder = self.root / "run" / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.pt").write_bytes(f"{self.id} {step} ".encode() * 400)
        checkpoints.write_record(
            folder,
            checkpoints.Record(
                step=step,
                job={},
                job_hash="j",
                data_sha256="d",
                template_sha256="t",
                precision="bf16",
                device="gpu",
                pass_tokens=1,
                tokens=1,
                trained_tokens=1,
            ),
        )
        return line("checkpoint", step=step, path=f"checkpoints/checkpoint-{step}")

    def result(self, *, complete):
        run = self.root / "run"
        job = Job.from_json(self.root / "job.json")
        (run / "job.json").write_text(job.to_json())
        FAKE_TRAINER.save_adapter(run / "adapter")
        content = hashlib.sha256(f"{self.id} {complete}".encode()).digest() * 8000
        (run / "adapter" / "weights.bin").write_bytes(content)
        FAKE_TRAINER.save_manifest(run, job)
        if not complete:
            found = json.loads((run / "manifest.json").read_text())
            (run / "manifest.json").write_text(json.dumps(found | {"complete": False}))
        else:
            self.finished = {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (run / "adapter").iterdir()
            }
        return line("saved", path="adapter")


class Inside:
    """The pod as its supervisor's ``System``: its ``start`` is that of processes, not of the pod."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod

    def __getattr__(self, name):
        return getattr(self.pod, name)

    def start(self, argv, *, env, cwd, log=None, events=False):
        child = self.pod.start_child([str(word) for word in argv], log)
        self.pod.children.append(child)
        return child


class Session:
    """What ``launcher.ssh.Session`` does, on the pod's folder; ``wire`` is where the link fails."""

    def __init__(self, pod: Pod, wire: Callable[[int], None]) -> None:
        self.pod, self._fail = pod, wire
        self.since = pod.clock.time

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass

    def wire(self, count=0):
        pod = self.pod
        pod.clock.me.check()
        self._fail(count)
        if pod.status != "RUNNING" or pod.door_at is None or pod.cut_at > self.since:
            raise ConnectionLost("the SSH connection broke")

    def run(self, command, *, stdin=(), timeout=30.0):
        self.wire()
        if found := re.search(r"kill -(TERM|KILL)", command):
            child = self.pod.trainer
            if child is not None and child.poll() is None:
                child.terminate() if found[1] == "TERM" else child.kill()
            return CommandResult(0, b"", b"")
        if command == "nvidia-smi":
            return CommandResult(0, f"CUDA Version: {self.pod.plan.cuda}".encode(), b"")
        here = command.replace("/workspace", str(self.pod.path("/workspace")))
        done = subprocess.run(["sh", "-c", here], capture_output=True, check=False)
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def stream(self, path, offset=0):
        self.wire()
        file = self.pod.path(path)
        if not file.is_file():
            raise NotFound(f"the pod has no {path}")
        data = file.read_bytes()
        if len(data) < offset:
            raise ResultRejected(f"{path} in the pod is shorter than at home")
        for at in range(offset, len(data), BLOCK):
            if len(data) - at > 4096:
                self.pod.sending_until = float("inf")
            piece = data[at : at + BLOCK]
            self.wire(len(piece))
            yield piece
        self.pod.sending_until = self.pod.clock.time + 5.0

    def size(self, path):
        self.wire()
        file = self.pod.path(path)
        return file.stat().st_size if file.is_file() else None

    def send(self, path, pieces, *, append=False):
        self.wire()
        if self.pod.pod_disk_full_until > self.pod.clock.time:
            raise PodRefused(f"the pod cannot write {path}: No space left on device", "rent more")
        file = self.pod.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab" if append else "wb") as out:
            for piece in pieces:
                self.wire(len(piece))
                out.write(piece)

    def put(self, path, data):
        self.send(f"{path}.part", [data])
        self.rename(f"{path}.part", path)

    def rename(self, path, to):
        self.wire()
        self.pod.path(path).replace(self.pod.path(to))

    def sha256(self, path):
        self.wire()
        return hashlib.sha256(self.pod.path(path).read_bytes()).hexdigest()
