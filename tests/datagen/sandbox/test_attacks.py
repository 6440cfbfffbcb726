"""The attacks of attacks.txt at every level, each judged by what happened and not by a message.

An attack that gets through at a lower level shows that it is a real one: what stops it at the level
above is the sandbox and not a slip in its code.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datagen.sandbox import LEVELS, CellLimits, CellResult, Sandbox, Session
from datagen.sandbox.start_server import ServerProcess
from tests.datagen.sandbox.attack_list import Attack, attacks, table
from trainer.contract.command.errors import SandboxUnsafe

ROOT = Path(__file__).parents[3]
SECRET = "canary-7291"
LIMITS = CellLimits(cell_seconds=1.5, episode_seconds=60, memory_bytes=2**29, output_chars=2000)
PRELUDE = "import ctypes, os, signal, socket, subprocess, threading, time\nC = ctypes.CDLL(None)\n"
MARK = Path("/tmp/sandbox-attack-mark")
ATTACKS = attacks()


class Listeners:
    """A TCP, a UDP, an abstract and a named Unix socket, and whether anybody came."""

    def __init__(self, folder: Path) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.name = f"sandbox-{os.getpid()}"
        self.path = str(folder / "listener")
        unix = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for one, address in zip(unix, ("\0" + self.name, self.path), strict=True):
            one.bind(address)
            one.listen()
        self.streams = [self.tcp, *unix]

    def heard(self) -> bool:
        found = select.select([*self.streams, self.udp], [], [], 0.05)[0]
        for one in found:
            if one is self.udp:
                one.recv(99)
            else:
                one.accept()[0].close()
        return bool(found)

    def close(self) -> None:
        for one in (*self.streams, self.udp):
            one.close()


@dataclass
class Scene:
    """What an attack finds, and what it may have changed."""

    box: Sandbox
    canary: Path
    listeners: Listeners
    victim: subprocess.Popen[bytes]
    neighbour: Session
    neighbour_pid: int
    address: int
    table: Path
    before: object = None
    server: int = 0

    def names(self) -> str:
        found: dict[str, Any] = {
            "PATH": str(self.canary),
            "FOLDER": str(self.canary.parent),
            "PORT": self.listeners.port,
            "NAME": self.listeners.name,
            "UNIX": self.listeners.path,
            "SERVER": self.server,
            "NEIGHBOUR": self.neighbour_pid,
            "ADDRESS": self.address,
            "VICTIM": self.victim.pid,
            "TABLE": str(self.table),
            "ROOT": str(ROOT),
        }
        return "".join(f"{name} = {value!r}\n" for name, value in found.items())

    def traces(self) -> object:
        folder = self.canary.parent
        found = {}
        for path in sorted(folder.iterdir()):
            info = path.lstat()
            extra = os.listxattr(path) if path.is_file() else []
            found[path.name] = (info.st_mode, info.st_uid, info.st_size, info.st_mtime, extra)
        return found, os.path.ismount(folder)


@pytest.fixture(scope="module")
def listeners(tmp_path_factory) -> Iterator[Listeners]:
    found = Listeners(tmp_path_factory.mktemp("l"))
    yield found
    found.close()


def has_landlock() -> bool:
    """Where the kernel has it, a level below full is a failure of ours and nothing to skip."""
    version = ctypes.CDLL(None).syscall(444, None, ctypes.c_long(0), ctypes.c_long(1))
    return bool(sys.platform.startswith("linux") and version >= 1)


@pytest.fixture(scope="module", params=LEVELS)
def box(request, csv) -> Iterator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENROUTER_API_KEY", SECRET)
        try:
            sandbox = Sandbox({"shops": csv}, LIMITS, request.param)
        except SandboxUnsafe as fault:
            if not has_landlock():
                pytest.skip(str(fault))
            raise
        with sandbox:
            yield sandbox


@pytest.fixture
def scene(box, csv, listeners, tmp_path) -> Iterator[Scene]:
    canary = tmp_path / "own" / "canary.csv"
    canary.parent.mkdir()
    canary.write_text(f"key\n{SECRET}\n", encoding="utf-8")
    canary.chmod(0o600)
    with contextlib.suppress(OSError):
        os.setxattr(canary, "user.s", SECRET.encode())
    os.utime(canary, (1_000_000, 1_000_000))
    with tempfile.TemporaryFile() as held, box.episode() as neighbour:
        held.write(SECRET.encode())
        held.flush()
        victim = subprocess.Popen(["sleep", "60"], stdin=held, env={"KEY": SECRET, **os.environ})
        secret = f"import ctypes, os\nb = ctypes.create_string_buffer(b'{SECRET}')\nl = [b.value]\n"
        pid, address = neighbour.run(secret + "submit([os.getpid(), ctypes.addressof(b)])").answer
        found = Scene(box, canary, listeners, victim, neighbour, pid, address, csv)
        assert isinstance(box._server, ServerProcess)
        found.server = box._server.pid
        found.before = found.traces()
        yield found
        victim.kill()
        victim.wait()
    if os.path.ismount(canary.parent):
        subprocess.run(["umount", canary.parent], check=True)
    MARK.unlink(missing_ok=True)


def told(scene: Scene, result: CellResult, episode: Session) -> bool:
    text = f"{result.answer} {result.stdout} {result.stderr}".replace(str(scene.canary), "")
    return SECRET in text or scene.canary.name in text


def changed(scene: Scene, result: CellResult, episode: Session) -> bool:
    return scene.traces() != scene.before or SECRET not in scene.canary.read_text("utf-8")


def reached(scene: Scene, result: CellResult, episode: Session) -> bool:
    return scene.listeners.heard()


def claimed(scene: Scene, result: CellResult, episode: Session) -> bool:
    return bool(result.answer == "through")


def left(scene: Scene, result: CellResult, episode: Session) -> bool:
    episode.close()
    pid = result.answer
    if not isinstance(pid, int) or pid <= 0:
        return False
    through = not ends(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return through


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.02)
    return False


def killed(scene: Scene, result: CellResult, episode: Session) -> bool:
    answer = scene.neighbour.run("submit(l[0].decode())").answer
    server = scene.box._server
    assert isinstance(server, ServerProcess)
    with contextlib.suppress(subprocess.TimeoutExpired):
        scene.victim.wait(0.1)
    gone = server.pid != scene.server or not server.alive()
    return bool(gone or answer != SECRET or scene.victim.poll() is not None)


def stays(scene: Scene, result: CellResult, episode: Session) -> bool:
    """And removes it."""
    episode.close()
    libc = ctypes.CDLL(None)
    answer = result.answer
    if isinstance(answer, list) and answer[0] in {"-m", "-s", "-q"}:
        remove = {"-m": libc.shmctl, "-q": libc.msgctl}.get(answer[0])
        if remove is None:
            return bool(libc.semctl(answer[1], 0, 0) == 0)
        return bool(remove(answer[1], 0, None) == 0)
    if isinstance(answer, str) and answer.startswith("/dev/shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(answer).unlink()
            return True
        return False
    if answer == "mq":
        return bool(libc.mq_unlink(b"/sandbox-attack") == 0)
    return answer is not None


AFTER = (
    "import builtins, fcntl, os, sys, io\n"
    "f = open(os.__file__) if LOCK else None\n"
    "try: free = f is None or fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB) is None\n"
    "except BlockingIOError: free = False\n"
    "except PermissionError: free = True\n"
    "flags = [fcntl.fcntl(f, fcntl.F_GETFL) & os.O_NONBLOCK for f in range(3)]\n"
    "submit([df.to_csv(), int(df['sales'].sum()), len(df), pd.options.display.max_rows, flags, free,\n"
    "        'MARK' in os.environ, sys.modules['pandas'] is pd, os.path.exists('mark'),\n"
    "        os.path.exists('/tmp/sandbox-attack-mark')])"
)


def is_next(scene: Scene, result: CellResult, episode: Session) -> bool:
    """The attacker's episode still runs; this is another."""
    with scene.box.episode() as other:
        found = other.run(f"LOCK = True\n{AFTER}").answer
    table = ",city,sales,open\n0,Bern,3,True\n1,Basel,5,False\n2,Bern,4,True\n"
    return bool(found != [table, 12, 3, 60, [0, 0, 0], True, False, True, False, False])


def flooded(scene: Scene, result: CellResult, episode: Session) -> bool:
    most = LIMITS.output_chars + 1000
    longest = max(len(result.stdout), len(result.stderr), len(str(result.answer)) // 400)
    return longest > most or len(result.hooks) > 200


def endless(scene: Scene, result: CellResult, episode: Session) -> bool:
    return not result.timed_out or result.seconds > LIMITS.cell_seconds + 5


def spoiled(scene: Scene, result: CellResult, episode: Session) -> bool:
    second, third = episode.run("x = 1"), episode.run("submit(7)")
    forged = second.submitted or bool(second.hooks) or bool(third.hooks)
    return forged or third.answer != 7


OUTCOMES = {
    "told": told,
    "changed": changed,
    "reached": reached,
    "claimed": claimed,
    "left": left,
    "killed": killed,
    "stays": stays,
    "next": is_next,
    "flooded": flooded,
    "endless": endless,
    "spoiled": spoiled,
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_attack(scene: Scene, attack: Attack):
    with scene.box.episode() as episode:
        assert episode.run(PRELUDE + scene.names()).ok
        result = episode.run(attack.code)
        through = OUTCOMES[attack.outcome](scene, result, episode)
    print("through" if through else "stopped", result)
    expected = attack.at[scene.box.level]
    if expected != "depends":
        assert through == (expected == "through"), result
    with scene.box.episode() as episode:
        assert episode.run("submit(len(df))").answer == 3


def test_the_level_full_stops_all_but_what_is_known():
    assert len(ATTACKS) > 100
    through = [attack for attack in ATTACKS if attack.at["full"] != "stopped"]
    assert {attack.kind for attack in through} == {"Known to get through"}
    assert len(through) == 2


def test_the_readme_shows_this_table():
    """To write it anew: python -m tests.datagen.sandbox.attack_list."""
    text = (ROOT / "datagen" / "sandbox" / "README.md").read_text("utf-8")
    assert table(ATTACKS) in text


def test_ordinary_work_goes_on_in_spite_of_it_all(csv):
    with Sandbox({"t": csv}) as box, box.episode() as episode:
        result = episode.run(
            "from concurrent.futures import ThreadPoolExecutor\nfrom dataclasses import dataclass\n"
            "from scipy import stats\n@dataclass\nclass P:\n    x: float\n"
            "with ThreadPoolExecutor(2) as pool: total = sum(pool.map(abs, [-1, 2]))\n"
            "mean = df.groupby('city')['sales'].mean().to_dict()\n"
            "p = P(stats.ttest_1samp([1, 2, 3], 2).pvalue)\n"
            "when = pd.Timestamp('2024-07-01', tz='Europe/Zurich').utcoffset().seconds\n"
            "text = df['city'].str.upper().str.replace('B', 'P').tolist()\n"
            "submit([total, mean, p.x, when, text])"
        )
    assert result.stderr == ""
    assert result.answer == [3, {"Basel": 5.0, "Bern": 3.5}, 1.0, 7200, ["PERN", "PASEL", "PERN"]]
