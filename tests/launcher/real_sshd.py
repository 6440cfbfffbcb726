"""A real sshd on loopback, and a TCP proxy in front of it that delays and cuts.

``python real_sshd.py TARGET_PORT DELAY_SECONDS`` runs the proxy alone and prints its port.
"""

import contextlib
import getpass
import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from launcher.ssh import make_key

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CONFIG = """
ListenAddress 127.0.0.1
HostKey {folder}/{host_key}
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Sshd:
    """``accept(public line)`` lets a key in; ``host_key`` is the line to pin; ``log()`` what sshd said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.user = getpass.getuser()
        self.port = free_port()
        self.host_key = self.make_host_key("host")
        (folder / "authorized_keys").touch()
        self.process: subprocess.Popen[bytes] | None = None

    def make_host_key(self, name: str) -> str:
        path = self.folder / name
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
        return path.with_suffix(".pub").read_text()

    def accept(self, public: str) -> None:
        (self.folder / "authorized_keys").write_text(public + "\n")

    def start(self, host_key: str = "host", *, more: str = "") -> None:
        config = self.folder / "sshd_config"
        config.write_text(CONFIG.format(folder=self.folder, host_key=host_key) + more)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        assert SSHD is not None
        command = [SSHD, "-D", "-e", "-f", str(config), "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        give_up = time.monotonic() + 10
        while "Server listening" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < give_up, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None
            (self.folder / "log").unlink()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """A running sshd that lets ``sshd.key`` in."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd here (apt-get install openssh-server)")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.accept(make_key(server.key))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(sshd):
    """``proxy(delay=, cuts=)``: a proxy in front of the sshd."""
    made = []

    def make(**options):
        made.append(Proxy(sshd.port, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Proxy:
    """Passes bytes to ``target``, each ``delay`` seconds late in each direction.

    Once the bytes sent back in all pass a number of ``cuts``, every connection is reset at once.
    """

    def __init__(self, target: int, *, delay: float = 0.0, cuts=()) -> None:
        self.target = target
        self.delay = delay
        self.cuts = sorted(cuts)
        self.made = 0  # connections
        self.cut = 0  # times
        self._back = 0
        self._live: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        self.cut_all()

    def cut_all(self) -> None:
        with self._lock:
            live, self._live = self._live, set()
        for sock in live:
            # Linger 0: a reset, not a decent end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for sock in (here, there):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.made += 1
                self._live |= {here, there}
            for source, sink, back in ((here, there, False), (there, here, True)):
                waiting: queue.SimpleQueue = queue.SimpleQueue()
                threading.Thread(
                    target=self._read, args=(source, waiting, back), daemon=True
                ).start()
                threading.Thread(target=self._write, args=(sink, waiting), daemon=True).start()

    def _read(self, source, waiting, back) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b""
            if back and self._passes(len(data)):
                self.cut_all()
                return
            waiting.put((time.monotonic() + self.delay, data))

    def _passes(self, count) -> bool:
        with self._lock:
            self._back += count
            if self.cuts and self._back >= self.cuts[0]:
                del self.cuts[0]
                self.cut += 1
                return True
            return False

    def _write(self, sink, waiting) -> None:
        try:
            while True:
                due, data = waiting.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
        except OSError:
            return


if __name__ == "__main__":
    print(Proxy(int(sys.argv[1]), delay=float(sys.argv[2])).port, flush=True)
    sys.stdin.read()
