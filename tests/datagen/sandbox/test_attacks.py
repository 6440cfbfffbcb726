"""Attacks on level "full", each judged by what did not happen and not by a message."""

import os
import socket
import stat
from pathlib import Path

import pytest

from datagen.sandbox import Limits, Sandbox

SECRET = "canary-7291"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def box(csv):
    with Sandbox({"t": csv}, Limits(cell_seconds=5)) as sandbox:
        if sandbox.level != "full":
            pytest.skip(f"this kernel gives the sandbox level {sandbox.level}")
        yield sandbox


@pytest.fixture
def canary(place):
    for entry in place.iterdir():
        entry.unlink()
    path = place / "canary.csv"
    path.write_text(f"key\n{SECRET}\n", encoding="utf-8")
    path.chmod(0o600)
    os.utime(path, (1_000_000, 1_000_000))
    return path


def traces(canary: Path) -> object:
    info = canary.stat()
    return (
        sorted(entry.name for entry in canary.parent.iterdir()),
        canary.read_text(encoding="utf-8"),
        (stat.S_IMODE(info.st_mode), info.st_mtime, info.st_uid),
        sorted(os.listxattr(canary)),
    )


READS = {
    "open": "submit(open(PATH).read())",
    "pandas": "submit(pd.read_csv(PATH)['key'])",
    "pandas internals": "submit(pd.io.common.os.popen('cat ' + PATH).read())",
    "numpy": "submit(np.fromfile(PATH, dtype='u1').tobytes().decode())",
    "memory map": "submit(bytes(np.memmap(PATH, dtype='u1', mode='r')).decode())",
    "path only descriptor": "import os\nf = os.open(PATH, os.O_PATH)\n"
    "submit(open(f'/proc/self/fd/{f}').read())",
    "libc": "import ctypes\nc = ctypes.CDLL(None)\nb = ctypes.create_string_buffer(99)\n"
    "c.read(c.open(PATH.encode(), 0), b, 99)\nsubmit(b.value.decode())",
    "openat2": "import ctypes, struct\nc = ctypes.CDLL(None)\nb = ctypes.create_string_buffer(99)\n"
    "c.read(c.syscall(437, -100, PATH.encode(), struct.pack('QQQ', 0, 0, 0), 24), b, 99)\n"
    "submit(b.value.decode())",
    "subprocess": "import subprocess\nsubmit(subprocess.check_output(['cat', PATH]).decode())",
    "hard link": "import os\nos.link(PATH, 'link')\nsubmit(open('link').read())",
    "symlink": "import os\nos.symlink(PATH, 'symlink')\nsubmit(open('symlink').read())",
    "rename": "import os\nos.rename(PATH, 'rename')\nsubmit(open('rename').read())",
    "listing": "import os\nfrom pathlib import Path\nsubmit(os.listdir(Path(PATH).parent))",
    "chroot": "import os\nos.chroot('/')\nsubmit(open(PATH).read())",
}
WRITES = {
    "open": "open(PATH, 'w').write('x')",
    "append": "open(PATH, 'a').write('x')",
    "to_csv beside it": "df.to_csv(PATH + '.new')",
    "to_pickle": "df.to_pickle(PATH + '.new')",
    "truncate": "import os\nos.truncate(PATH, 0)",
    "remove": "import os\nos.remove(PATH)",
    "mode": "import os\nos.chmod(PATH, 0o777)",
    "mode, new call": "import ctypes\nctypes.CDLL(None).syscall(452, -100, PATH.encode(), 0o777, 0)",
    "owner": "import os\nos.chown(PATH, 1234, 1234)",
    "times": "import os\nos.utime(PATH)",
    "attribute": "import os\nos.setxattr(PATH, 'user.x', b'y')",
    "shell": "import os\nos.system('echo x >> ' + PATH)",
    "folder": "import os\nos.mkdir(PATH + '.d')",
    "node": "import os\nos.mkfifo(PATH + '.f')",
    "sqlite": "import sqlite3\nsqlite3.connect(PATH + '.db').execute('create table a (b)')",
    "raw unlink": "import ctypes\nctypes.CDLL(None).unlink(PATH.encode())",
    "unix socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind(PATH + '.s')",
}


@pytest.mark.parametrize("attack", READS)
def test_no_file_is_read(box, canary, attack):
    with box.episode() as episode:
        result = episode.run(f"PATH = {str(canary)!r}\n{READS[attack]}")
    told = f"{result.answer} {result.stdout} {result.stderr.replace(str(canary), '')}"
    assert SECRET not in told
    assert canary.name not in told


@pytest.mark.parametrize("attack", WRITES)
def test_no_file_is_changed(box, canary, attack):
    before = traces(canary)
    with box.episode() as episode:
        episode.run(f"PATH = {str(canary)!r}\n{WRITES[attack]}")
    assert traces(canary) == before


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "/proc/self/environ", "/proc/1/cmdline", str(Path(__file__)), "/dev/zero", "."],
)
def test_no_file_of_the_machine_is_opened(box, path):
    with box.episode() as episode:
        result = episode.run(f"import os\nf = os.open({path!r}, os.O_RDONLY)\nsubmit('escaped')")
    assert not result.submitted


@pytest.mark.parametrize(
    "attack",
    [
        "import socket\nsocket.create_connection(('127.0.0.1', PORT))",
        "import urllib.request\nurllib.request.urlopen(f'http://127.0.0.1:{PORT}')",
        "pd.read_csv(f'http://127.0.0.1:{PORT}/a.csv')",
        (
            "import ctypes, struct\nc = ctypes.CDLL(None)\ns = c.socket(2, 1, 0)\n"
            "c.connect(s, struct.pack('=H', 2) + struct.pack('>H', PORT) + bytes([127, 0, 0, 1]) + bytes(8), 16)"
        ),
    ],
)
def test_no_connection_is_made(box, attack):
    with socket.create_server(("127.0.0.1", 0)) as listener, box.episode() as episode:
        episode.run(f"PORT = {listener.getsockname()[1]}\n{attack}")
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")


def session_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == pid:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    "attack",
    [
        "import os\nfor _ in range(64):\n    if os.fork() == 0: import time; time.sleep(5); os._exit(0)",
        "import os, subprocess\nfor _ in range(9): subprocess.Popen(['sleep', '5'])",
        "import os\nos.posix_spawn('/bin/sleep', ['sleep', '5'], {})",
        "import ctypes, os, time\nif ctypes.CDLL(None).fork() == 0: time.sleep(5); os._exit(0)",
        "import ctypes, os, time\nif ctypes.CDLL(None).syscall(435, bytes(88), 88) == 0: time.sleep(5); os._exit(0)",
        "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()",
        "import os\nos.execv('/bin/sleep', ['sleep', '5'])",
        "import os\nos.setsid()",
        "import os\nos.setpgid(0, 0)",
    ],
)
def test_no_process_is_made_or_leaves_the_group(box, attack):
    server = box._server.pid
    with box.episode() as episode:
        child = episode.run("import os\nsubmit(os.getpid())").answer
        before = session_of(server)
        assert set(before) >= {server, child}
        episode.run(attack)
        assert not children_of(child)
        assert os.getpgid(child) == server
        assert Path(f"/proc/{child}/exe").readlink() == Path(f"/proc/{server}/exe").readlink()


@pytest.mark.parametrize(
    "attack",
    [
        "os.kill(os.getppid(), 9)",
        "os.kill(os.getppid(), 19)",
        "os.killpg(os.getpgrp(), 9)",
        "os.kill(-1, 0)\nsubmit('escaped')",
        "import signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)",
        "import ctypes\nif ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0: submit('escaped')",
        "import ctypes\nif ctypes.CDLL(None).syscall(310, os.getppid(), 0, 0, 0, 0, 0) == 0: submit('escaped')",
        "open(f'/proc/{os.getppid()}/mem', 'rb')\nsubmit('escaped')",
        "open(f'/proc/{os.getppid()}/environ', 'rb')\nsubmit('escaped')",
    ],
)
def test_server_is_out_of_reach(box, attack):
    server = box._server.pid
    with box.episode() as episode:
        assert not episode.run(f"import os\n{attack}").submitted
    with box.episode() as episode:
        assert episode.run("submit(1)").answer == 1
    assert box._server.pid == server


@pytest.mark.parametrize(
    "attack",
    [
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))",
        "import resource as r\nr.setrlimit(r.RLIMIT_FSIZE, (99, 99))",
        "import resource as r\nr.prlimit(0, r.RLIMIT_NOFILE, (9999, 9999))",
        "import os\nos.setuid(1234)",
        "import os\nos.memfd_create('x')",
        "import ctypes\nc = ctypes.CDLL(None)\ni = c.shmget(0, 4096, 0o1600)\nassert i >= 0\nc.shmctl(i, 0, 0)",
        "import ctypes\nassert ctypes.CDLL(None).syscall(425, 8, bytes(120)) >= 0",
        "import ctypes\nassert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0",
        "import socket\nsocket.socketpair()",
        "import os\nos.listdir('/proc/self/fd')",
    ],
)
def test_restrictions_are_not_undone(box, attack):
    with box.episode() as episode:
        result = episode.run(f"{attack}\nsubmit('escaped')")
    assert not result.submitted


def test_ordinary_work_goes_on_in_spite_of_it_all(box):
    with box.episode() as episode:
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
