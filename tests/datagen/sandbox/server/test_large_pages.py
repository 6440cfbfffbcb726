"""A server's memory in large pages: there, unchanged, also once it has scipy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from datagen.sandbox import Sandbox
from datagen.sandbox.server.large_pages import LargePages
from datagen.sandbox.start_server import ServerProcess

MOVE = """
import mmap, os, sys
from pathlib import Path
from datagen.sandbox.server.large_pages import LargePages
memory = LargePages()
size = 8 << 20
block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
written = os.urandom(1 << 16) * (size >> 16)
block[:] = written
def large():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))
before = large()
memory.gather()
sys.stdout.write(f"{large() - before} {block[:] == written}")
"""


def large_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages"))


@pytest.fixture(scope="module")
def moved():
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the kernel tells nothing of its pages here")
    told = subprocess.run([sys.executable, "-c", MOVE], capture_output=True, text=True, check=True)
    kib, same = told.stdout.split()
    return int(kib), same == "True"


def test_contents_stay(moved):
    assert moved[1]


def test_memory_is_in_large_pages(moved, csv):
    if not moved[0]:
        pytest.skip("this kernel has no MADV_COLLAPSE, or no large page to give")
    assert moved[0] >= 6 * 1024
    with Sandbox({"t": csv}) as box:
        assert isinstance(box._server, ServerProcess)
        assert large_kib(box._server.pid) >= 6 * 1024  # forks split some
        with box.episode() as episode:
            assert episode.run("import scipy.stats\nsubmit(1)").answer == 1
        with box.episode() as episode:
            assert episode.run("submit(len(df))").ok


def test_a_system_without_proc_is_left_alone(monkeypatch):
    def none(*_: object) -> int:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", none)
        memory = LargePages()
    memory.gather()
