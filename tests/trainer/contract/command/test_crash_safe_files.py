"""The kernel is the judge of a full disk: it takes a part of a write (RLIMIT_FSIZE), then refuses."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trainer.contract.command.crash_safe_files import (
    TAIL_BLOCK,
    append,
    cut_torn_line,
    open_locked,
    replacing,
    write_whole,
)
from trainer.contract.command.errors import Locked


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_the_disk_takes_in_part_is_removed(tmp_path):
    path = tmp_path / "new" / "lines"
    with open_locked(path) as file:
        assert append(file, b"one\n") == 0
        with largest_file(7), pytest.raises(OSError, match="too large"):
            append(file, b"two words\n")
        assert path.read_bytes() == b"one\n"
        assert append(file, b"three\n") == 4
    assert path.read_bytes() == b"one\nthree\n"


@pytest.mark.parametrize("fsync", [True, False])
def test_a_line_is_on_disk_when_the_call_returns(tmp_path, monkeypatch, fsync):
    with open_locked(tmp_path / "lines") as file:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        append(file, b"one\n", fsync=fsync)
        assert synced == [file.fileno()] * fsync


@pytest.mark.parametrize(
    ("block", "kept", "last"),
    [
        (b"", b"", b""),
        (b"torn", b"", b""),
        (b"one\n", b"one\n", b"one"),
        (b"one\ntwo\nto", b"one\ntwo\n", b"two"),
        (b"one\n\n", b"one\n\n", b""),
        (b"one\n" + b"x" * 3 * TAIL_BLOCK, b"one\n", b"one"),
        (b"x" * 3 * TAIL_BLOCK + b"\ny", b"x" * 3 * TAIL_BLOCK + b"\n", b"x" * 3 * TAIL_BLOCK),
    ],
)
def test_a_torn_last_line_is_cut(tmp_path, block, kept, last):
    path = tmp_path / "lines"
    path.write_bytes(block)
    with open_locked(path) as file:
        assert cut_torn_line(file) == last
    assert path.read_bytes() == kept


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "lines"
    with open_locked(path), pytest.raises(Locked, match="another process is writing"):
        open_locked(path)
    open_locked(path).close()


@pytest.mark.parametrize("before", [None, b"old\n"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, before):
    path = tmp_path / "new" / "file"
    if before is not None:
        write_whole(path, before)
    with largest_file(7), pytest.raises(OSError, match="too large"):
        write_whole(path, "two words\n")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before] * (before is not None)
    assert write_whole(path, "café\n") == path
    assert path.read_bytes() == b"caf\xc3\xa9\n"


def test_the_content_is_on_disk_before_its_name(tmp_path, monkeypatch):
    path = tmp_path / "file"
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((os.fstat(fd).st_ino, path.exists())))
    write_whole(path, "a", fsync=False)
    path.unlink()
    write_whole(path, "a")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_processes_that_replace_one_file_do_not_meet(tmp_path):
    """As launchers of several runs do with the price list."""
    path = tmp_path / "prices.json"
    script = (
        "import sys; from pathlib import Path\n"
        "from trainer.contract.command.crash_safe_files import write_whole\n"
        "for _ in range(60): write_whole(Path(sys.argv[1]), sys.argv[2] * 5000, fsync=False)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, path, letter]) for letter in "abcd"]
    while any(one.poll() is None for one in writers):
        found = path.read_text("utf-8") if path.exists() else ""
        assert found in {"", *(letter * 5000 for letter in "abcd")}
    assert [one.returncode for one in writers] == [0] * 4
    assert [one.name for one in tmp_path.iterdir()] == ["prices.json"]
