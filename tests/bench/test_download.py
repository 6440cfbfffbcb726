"""Adapter download over a link with 100 ms round trip: ours against OpenSSH's scp, same proxy, same run."""

import os
import runpy
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.pod.transfer import Link, download
from launcher.ssh import connect, make_key
from trainer.contract.manifest import hash_file

REAL_SSHD = Path(__file__).parents[1] / "launcher" / "real_sshd.py"
SSHD, Sshd = (runpy.run_path(str(REAL_SSHD))[name] for name in ("SSHD", "Sshd"))
needs = pytest.mark.skipif(SSHD is None or shutil.which("scp") is None, reason="no OpenSSH here")
pytestmark = [pytest.mark.bench, needs]

SIZE = 120_000_000
ROUND_TRIP = 0.1
RUNS = 3


def refuse(fault):
    raise fault


@needs
def test_download(tmp_path):
    server = Sshd(tmp_path)
    server.accept(make_key(server.key))
    server.start()
    source = tmp_path / "pod" / "adapter_model.safetensors"
    source.parent.mkdir()
    source.write_bytes(os.urandom(SIZE))
    expected = {source.name: hash_file(source)}
    proxy = subprocess.Popen(
        [sys.executable, REAL_SSHD, str(server.port), str(ROUND_TRIP / 2)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stdout is not None
        port = int(proxy.stdout.readline())
        options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "LogLevel=ERROR"]
        scp = ["scp", "-q", "-i", server.key, "-P", str(port)]
        scp += [word for option in options for word in ("-o", option)]
        remote = f"{server.user}@127.0.0.1:{source}"

        def by_scp(target):
            subprocess.run([*scp, remote, target / source.name], check=True)

        def by_us(target):
            link = Link(
                lambda: connect(
                    "127.0.0.1",
                    port,
                    user=server.user,
                    key=server.key,
                    host_key=server.host_key,
                ),
                refuse,
            )
            download(link, str(source.parent), target, expected)
            link.close()

        took: dict[str, list[float]] = {"scp": [], "download": []}
        for number in range(RUNS):
            for name, way in (("scp", by_scp), ("download", by_us)):
                target = tmp_path / f"{name}{number}"
                target.mkdir()
                started = time.perf_counter()
                way(target)
                took[name].append(time.perf_counter() - started)
                assert hash_file(target / source.name) == expected[source.name]
                shutil.rmtree(target)
    finally:
        proxy.terminate()
        proxy.communicate()
        server.stop()
    theirs, ours = statistics.median(took["scp"]), statistics.median(took["download"])
    print(
        f"\n{SIZE / 1e6:.0f} MB, round trip {ROUND_TRIP * 1000:.0f} ms, median of {RUNS}, from connect"
    )
    for name, seconds in (("scp", theirs), ("download, SHA-256 verified, fsynced", ours)):
        print(f"{name:<38} {seconds:6.1f} s  {SIZE / 1e6 / seconds:6.1f} MB/s")
    print(f"{'ratio download / scp':<38} {ours / theirs:6.2f}")
