"""The supervisor as a process among processes: real clock, pipes, signals, sshd; a RunPod on loopback."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trainer.contract import events, manifest, pod
from trainer.contract.job import from_sources

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = "pod-scoped-key-9f3"
SECRET = "hf_a_secret_of_the_users"
SSHD = "/usr/sbin/sshd"

BOOT = """
import sys
from pathlib import Path
import os
from trainer.contract.pod import PodSettings
from trainer.pod.system import System
from trainer.pod.paths import Paths
from trainer.pod.sshd import Sshd
from trainer.pod.supervise import supervise

base = Path(os.environ["BASE"])
root = base / "sft" / os.environ["SFT_RUN_ID"]
command = os.environ["SSHD"].split() or ["sleep", "1000"]
trainer = os.environ["TRAINER"].split()
sshd = Sshd(root / "ssh", base / "sshd", command, int(os.environ["PORT"]))
paths = Paths(root, base / "hf", base / "secrets", sshd)
if trainer:
    paths = Paths(paths.root, paths.hf, paths.secrets, paths.sshd, tuple(trainer))
supervise(PodSettings.from_env(os.environ), dict(os.environ), paths, System(os.environ))
"""

# Trains ten quick steps, or is killed by its first life; an adapter is one file here.
TRAINER = """
import json, os, signal, sys, time
from pathlib import Path

fd = int(os.environ["SFT_EVENTS_FD"])
run = Path("run")
Path("environment.json").write_text(json.dumps(dict(os.environ)))

def tell(type, **fields):
    os.write(fd, json.dumps({"v": 1, "type": type, **fields}).encode() + b"\\n")

def mark(step):
    folder = run / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    values = dict(step=step, job={}, job_hash="", data_sha256="", template_sha256="",
                  precision="", device="", pass_tokens=1, tokens=0, trained_tokens=0)
    (folder / "checkpoint.json").write_text(json.dumps(values))
    tell("checkpoint", step=step, path=f"checkpoints/{folder.name}")

def manifest(complete):
    values = dict(complete=complete, created="", files={}, job_hash="", data_sha256="",
                  base_model="", revision=None, template_sha256="", versions={}, device="",
                  precision="", seed=0, metrics={}, reload_proof=None)
    (run / "manifest.json").write_text(json.dumps(values))
    tell("done", manifest="manifest.json")

if "--from-checkpoint" in sys.argv:
    manifest(False)
    sys.exit()
tell("phase", name="train", detail=" ".join(sys.argv[1:]))
mark(1)
if "KILLED" in os.environ and "--resume" not in sys.argv:
    print("about to die", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
manifest(True)
"""


@pytest.fixture
def api():
    """A RunPod that accepts what a running pod may ask for, and ends the container then."""

    class Server(ThreadingHTTPServer):
        asked: ClassVar[list[Any]] = []
        container: "subprocess.Popen[bytes] | None" = None

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((time.time(), body["action"]))
            if self.headers["Authorization"] != f"Bearer {KEY}":
                status = 401
            else:
                status = 409 if body["action"] == "start" else 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if status == 200 and server.container:
                server.container.terminate()

        def log_message(self, *args):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Pod:
    """A machine's folder, and containers that boot on it."""

    def __init__(
        self, base, api, *, sshd="", port=22, trainer=None, public_key="ssh-ed25519 AAAA x", **more
    ):
        self.api, self.base = api, base
        self.root = base / "sft" / "r1"
        self.log = base / "container.log"
        script = base / "fake_trainer.py"
        script.write_text(textwrap.dedent(TRAINER))
        fake = f"{sys.executable} {script}"
        self.env = os.environ | {
            "BASE": str(base), "SSHD": sshd, "TRAINER": fake if trainer is None else trainer,
            "PUBLIC_KEY": public_key, "RUNPOD_API_KEY": KEY, "RUNPOD_POD_ID": "p1",
            "RUNPOD_API_BASE_URL": f"http://127.0.0.1:{api.server_port}",
            "PORT": str(port), "PYTHONPATH": str(REPOSITORY), **more,
        }  # fmt: skip

    def boot(self, **settings):
        now = time.time()
        values = {"run_id": "r1", "finish_by": now + 60, "gone_by": now + 90, "grace_seconds": 1}
        env = self.env | pod.PodSettings(**(values | settings)).to_env()
        with self.log.open("ab") as log:
            self.container = subprocess.Popen(
                [sys.executable, "-P", "-c", BOOT], env=env, cwd=self.base, stdout=log, stderr=log
            )
        self.api.container = self.container

    def upload(self, content=b'{"messages": []}\n', **job):
        digest = hashlib.sha256(content).hexdigest()
        inbox = self.root / "inbox"
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / digest).write_bytes(content)
        values = {"data": f"inbox/{digest}", **job}
        (inbox / "job.json.part").write_text(from_sources(None, [], values).to_json())
        (inbox / "job.json.part").rename(inbox / "job.json")

    def events(self):
        return events.read(self.root / "run" / "events.jsonl")[0]

    def seen(self, text):
        return text in self.log.read_text()

    def wait_for(self, what, seconds=20.0):
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)
        return found

    def wait_for_end(self, seconds=20.0):
        self.container.wait(seconds)

    def phases(self):
        return [e.name for e in self.events() if isinstance(e, events.Phase)]


@pytest.fixture
def machine(tmp_path, api):
    pods = []

    def make(**options):
        pods.append(Pod(tmp_path, api, **options))
        return pods[-1]

    yield make
    for each in pods:
        if each.container.poll() is None:
            each.container.terminate()
            each.container.wait(30)


def test_a_run_from_boot_to_stop(machine, api, tmp_path):
    here = machine()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "HF_TOKEN").write_text(SECRET)
    here.boot()
    here.wait_for(lambda: here.seen("waiting:"))
    here.upload()
    here.wait_for_end()
    assert here.phases() == [
        *("booted", "probed", "waiting", "accepted", "running", "train", "ready", "released"),
    ]
    assert [action for _, action in api.asked] == ["start", "stop"]
    assert isinstance(here.events()[-1], events.Released)
    assert [e.seq for e in here.events()] == list(range(len(here.events())))
    child = json.loads((here.root / "environment.json").read_text())
    assert not [name for name in child if name.startswith("RUNPOD_")]
    assert {name for name in child if name.startswith("SFT_")} == {"SFT_EVENTS_FD"}
    assert Path(child["HF_TOKEN_PATH"]).read_text() == SECRET
    written = "".join(
        path.read_text(errors="replace")
        for path in [here.log, *here.root.rglob("*")]
        if path.is_file()
    )
    assert KEY not in written
    assert SECRET not in written


def test_a_killed_trainer_is_resumed(machine):
    here = machine(KILLED="1")
    here.boot()
    here.upload()
    here.wait_for_end()
    starts = [e.detail for e in here.events() if isinstance(e, events.Phase) and e.name == "train"]
    assert [start.endswith("--resume") for start in starts] == [False, True]
    assert manifest.load(here.root / "run" / "manifest.json").complete
    assert "about to die" in (here.root / "run" / "train.log").read_text()


def test_the_guard_outlives_a_killed_supervisor(machine, api):
    here = machine()
    gone_by = time.time() + 3
    here.boot(gone_by=gone_by)
    here.wait_for(lambda: here.seen("waiting:"))
    here.container.kill()
    try:
        here.wait_for(lambda: [action for _, action in api.asked if action == "stop"])
        assert gone_by <= api.asked[-1][0] < gone_by + 2
        assert here.seen("guard: the time is up: stop")
    finally:
        listed = subprocess.check_output(["ps", "-wweo", "pid,args"], text=True).splitlines()
        guards = [x for x in listed if "trainer.pod.release" in x and str(here.root) in x]
        for guard in guards:
            os.kill(int(guard.split()[0]), signal.SIGKILL)
    assert len(guards) == 1


def test_a_pod_without_its_settings_goes_at_once(api, tmp_path):
    env = Pod(tmp_path, api).env | {"SFT_RUN_ID": "r1"}
    container = subprocess.Popen(
        [sys.executable, "-m", "trainer.pod.supervise"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    api.container = container
    output, _ = container.communicate(timeout=20)
    assert [action for _, action in api.asked] == ["stop"]
    assert b"SFT_GONE_BY" in output
    assert b"Traceback" not in output


def test_the_supervisor_starts_light():
    program = (
        "import sys, trainer.pod.supervise; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "transformers", "trl", "peft", "datasets", "numpy", "pandas", "matplotlib"}
    assert heavy.isdisjoint(done.stdout.split())


needs_sshd = pytest.mark.skipif(
    not Path(SSHD).exists() or os.geteuid() != 0, reason="needs sshd, and to be root as in a pod"
)


def reachable(machine, tmp_path, **settings):
    """Boot a pod with a real sshd; return it, sshd's port, and the command of a client by way of a port."""
    keys = tmp_path / "laptop"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "sshd_config"
    text = (REPOSITORY / "docker" / "sshd_config").read_text()
    text = text.replace("Port 22\n", f"Port {port}\nListenAddress 127.0.0.1\nStrictModes no\n")
    config.write_text(text.replace("/run/sft", str(tmp_path / "sshd")))
    here = machine(
        sshd=f"{SSHD} -D -e -f {config}", port=port,
        public_key=keys.with_suffix(".pub").read_text(),
    )  # fmt: skip
    here.boot(**settings)
    here.wait_for(lambda: here.seen("host-key") and here.seen("listening"))
    ((_, host_key),) = filter(
        None, (pod.parse_host_key(line, "r1") for line in here.log.read_text().splitlines())
    )
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {host_key}\n")

    def client(through):
        return [
            *("ssh", "-i", str(keys), "-p", str(through), "-o", "IdentitiesOnly=yes"),
            *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={tmp_path / 'known'}"),
            *("-o", f"HostKeyAlias=[127.0.0.1]:{port}", "-o", "BatchMode=yes", "root@127.0.0.1"),
        ]

    return here, port, client


@contextmanager
def slow_link(port):
    """Yield a port that leads to ``port``, at 256 kB/s on the way back."""

    def copy(source, target, *, pause):
        with suppress(OSError):
            while block := source.recv(1 << 15):
                target.sendall(block)
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as inner:
        inner.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        inner.connect(("127.0.0.1", port))

        def run():
            outer, _ = listening.accept()
            with outer:
                there = threading.Thread(target=copy, args=(outer, inner), kwargs={"pause": 0})
                there.start()
                copy(inner, outer, pause=1 / 8)
                outer.shutdown(socket.SHUT_RDWR)
                there.join()

        thread = threading.Thread(target=run)
        thread.start()
        yield listening.getsockname()[1]
        inner.shutdown(socket.SHUT_RDWR)
        thread.join()


@needs_sshd
def test_a_download_over_a_slow_link_outlasts_the_grace(machine, api, tmp_path):
    here, port, client = reachable(machine, tmp_path, grace_seconds=4)
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3_000_000))
    with slow_link(port) as through:
        here.upload()
        here.wait_for(lambda: "ready" in here.phases())
        ready = time.monotonic()
        got = subprocess.run(
            [*client(through), "cat", str(big)], capture_output=True, check=False, timeout=60
        )
    assert got.stdout == big.read_bytes(), got.stderr
    assert time.monotonic() - ready > 8
    assert here.container.poll() is None
    assert here.seen("the grace is over and a download is running")
    assert [action for _, action in api.asked] == ["start"]


@needs_sshd
def test_an_idle_session_does_not_extend_the_grace(machine, api, tmp_path):
    here, port, client = reachable(machine, tmp_path, grace_seconds=4)
    with subprocess.Popen([*client(port), "sleep", "60"]) as session:
        here.upload()
        here.wait_for_end(30)
        session.kill()
    assert [action for _, action in api.asked] == ["start", "stop"]
    assert not here.seen("a download is running")


@needs_sshd
def test_the_laptop_comes_in_with_the_key_that_was_pinned(machine, tmp_path):
    _, port, client = reachable(machine, tmp_path)
    done = subprocess.run(
        [*client(port), "env"], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, done.stderr
    assert "RUNPOD" not in done.stdout
    assert "SFT_" not in done.stdout


def test_a_real_training_cut_by_a_stop_and_saved_after_the_deadline(machine, base_model):
    here = machine(
        trainer=f"{sys.executable} -P -m trainer", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1"
    )
    row = [{"role": "user", "content": "mean?"}, {"role": "assistant", "content": "submit(1)"}]
    here.boot(finish_by=time.time() + 500, gone_by=time.time() + 600)
    here.upload(
        (json.dumps({"messages": row}) + "\n").encode() * 4,
        model=str(base_model), max_steps=100000, batch_size=2, **{"lora.r": 4, "max_length": 256},
    )  # fmt: skip
    here.wait_for(lambda: any(isinstance(e, events.Step) for e in here.events()), 90)
    here.container.terminate()
    here.wait_for_end(40)
    saved = [e for e in here.events() if isinstance(e, events.Checkpoint)]
    assert len(saved) == 1
    shutil.rmtree(here.root / "inbox")
    here.boot(finish_by=time.time(), gone_by=time.time() + 120)
    here.wait_for_end(90)
    found = manifest.verify(here.root / "run")
    assert not found.complete
    assert found.metrics["steps"] == saved[0].step
    assert (
        "save-by deadline" in next(e for e in here.events() if isinstance(e, events.Failed)).cause
    )
    assert here.phases()[-2:] == ["ready", "released"]
