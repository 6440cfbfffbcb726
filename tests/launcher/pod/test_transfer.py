import hashlib
import os
import runpy
import threading
import time
from pathlib import Path

import pytest

from launcher.errors import ConnectionLost, PodRefused
from launcher.pod.transfer import Link, download, mirror, upload
from launcher.ssh import connect
from trainer.contract.command.errors import ResultRejected
from trainer.contract.manifest import File, hash_files

REAL = runpy.run_path(str(Path(__file__).parents[1] / "real_sshd.py"))
sshd, proxy = REAL["sshd"], REAL["proxy"]


class Counting(Link):
    """Tries again ``patience`` times; ``lost`` is what it met."""

    def __init__(self, dial, patience):
        super().__init__(dial, self.note)
        self.lost: list[ConnectionLost] = []
        self.patience = patience

    def note(self, fault):
        self.lost.append(fault)
        if len(self.lost) > self.patience:
            raise fault
        time.sleep(0.02)


@pytest.fixture
def link(sshd):
    made = []

    def make(port=None, *, patience=20):
        def dial():
            return connect(
                "127.0.0.1",
                port or sshd.port,
                user=sshd.user,
                key=sshd.key,
                host_key=sshd.host_key,
                timeout=10,
            )

        made.append(Counting(dial, patience))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_caller_decides_how_long_to_try(link):
    calls = []

    def work(session):
        calls.append(session)
        raise ConnectionLost("gone")

    tried = link(patience=3)
    with pytest.raises(ConnectionLost):
        tried.ask(work)
    assert len(calls) == len(set(calls)) == 4


def test_a_fault_that_is_no_loss_keeps_the_connection(link):
    one = link()
    with pytest.raises(PodRefused):
        one.ask(lambda session: session.rename("/nowhere/a", "/nowhere/b"))
    first = one.ask(lambda session: session)
    assert one.ask(lambda session: session) is first
    assert one.lost == []


def test_a_growing_file_is_mirrored_through_five_cuts(link, proxy, tmp_path):
    remote, local = tmp_path / "events.jsonl", tmp_path / "copy.jsonl"
    lines = [f'{{"seq": {n}, "pad": "{os.urandom(400).hex()}"}}\n'.encode() for n in range(4000)]
    whole = b"".join(lines)
    gate = proxy(cuts=[len(whole) * n // 6 for n in range(1, 6)])

    def grow():
        with remote.open("ab", buffering=0) as file:
            for start in range(0, len(lines), 50):
                file.write(b"".join(lines[start : start + 50]))
                time.sleep(0.005)

    writer = threading.Thread(target=grow)
    writer.start()
    one = link(gate.port)
    copied, give_up = 0, time.monotonic() + 60
    while copied < len(whole):
        copied += mirror(one, str(remote), local)
        assert whole.startswith(local.read_bytes())
        assert time.monotonic() < give_up
    writer.join()
    assert local.read_bytes() == whole
    assert gate.cut == 5
    assert len(one.lost) >= 5


def test_a_mirror_waits_for_its_file_and_notices_when_it_is_replaced(link, tmp_path):
    remote, local = tmp_path / "train.log", tmp_path / "copy.log"
    one = link()
    assert mirror(one, str(remote), local) == 0
    remote.write_bytes(b"12345")
    assert mirror(one, str(remote), local) == 5
    assert mirror(one, str(remote), local) == 0
    remote.write_bytes(b"1")
    with pytest.raises(ResultRejected, match="shorter"):
        mirror(one, str(remote), local)
    remote.unlink()
    with pytest.raises(ResultRejected, match="no longer"):
        mirror(one, str(remote), local)
    assert local.read_bytes() == b"12345"


@pytest.fixture
def result(tmp_path):
    """A folder in the pod with a large file and small ones, and their manifest's entries."""
    root = tmp_path / "pod"
    (root / "adapter").mkdir(parents=True)
    (root / "adapter" / "adapter_model.safetensors").write_bytes(os.urandom(6_000_000))
    for number in range(6):
        (root / "adapter" / f"small {number}").write_bytes(os.urandom(1000 * number))
    return root, hash_files(root, ["adapter"])


def test_a_download_goes_on_through_two_cuts(link, proxy, result, tmp_path):
    root, files = result
    gate = proxy(cuts=[2_000_000, 4_000_000])
    counted: list[int] = []
    one = link(gate.port)
    download(one, str(root), tmp_path / "home", files, got=counted.append)
    assert hash_files(tmp_path / "home", ["adapter"]) == files
    assert gate.cut == 2
    assert len(one.lost) == 2
    total = sum(file.size for file in files.values())
    assert sum(counted) == total  # nothing was fetched twice


def test_a_download_is_continued_by_a_later_process(link, result, tmp_path):
    root, files = result
    name = "adapter/adapter_model.safetensors"
    part = tmp_path / "home" / f"{name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((root / name).read_bytes()[:5_000_000])
    counted: list[int] = []
    download(link(), str(root), tmp_path / "home", {name: files[name]}, got=counted.append)
    assert hash_files(tmp_path / "home", ["adapter"]) == {name: files[name]}
    assert sum(counted) == 1_000_000
    download(link(), str(root), tmp_path / "home", {name: files[name]}, got=counted.append)
    assert sum(counted) == 1_000_000


@pytest.mark.parametrize("rubbish", [b"wrong" * 1000, b"longer" * 1_500_000])
def test_a_wrong_part_is_fetched_again(link, result, tmp_path, rubbish):
    root, files = result
    name = "adapter/adapter_model.safetensors"
    part = tmp_path / "home" / f"{name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(rubbish)
    download(link(), str(root), tmp_path / "home", {name: files[name]})
    assert hash_files(tmp_path / "home", ["adapter"]) == {name: files[name]}


def test_a_file_that_is_not_what_the_manifest_says_is_never_put_in_place(link, result, tmp_path):
    root, files = result
    name = "adapter/small 3"
    wrong = File(size=files[name].size, sha256=hashlib.sha256(b"other").hexdigest())
    with pytest.raises(ResultRejected, match="twice"):
        download(link(), str(root), tmp_path / "home", {**files, name: wrong})
    assert not (tmp_path / "home" / name).exists()
    assert not (tmp_path / "home" / f"{name}.part").exists()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "adapter/../../evil"])
def test_a_path_out_of_the_folder_is_refused(link, tmp_path, name):
    with pytest.raises(ResultRejected, match="outside"):
        download(link(), str(tmp_path), tmp_path / "home", {name: File(size=0, sha256="")})


def test_an_upload_gets_its_hash_as_name_and_is_sent_once(link, tmp_path):
    source, folder = tmp_path / "rows.jsonl", tmp_path / "pod" / "files"
    source.write_bytes(os.urandom(700_000))
    counted: list[int] = []
    target = upload(link(), source, str(folder), sent=counted.append)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert Path(target) == folder / digest
    assert Path(target).read_bytes() == source.read_bytes()
    assert sum(counted) == 700_000
    assert upload(link(), source, str(folder), sent=counted.append) == target
    assert sum(counted) == 700_000
    assert [each.name for each in folder.iterdir()] == [digest]


@pytest.mark.parametrize(
    ("there", "again"),
    [(b"", 700_000), (None, 200_000), (b"bad", 1_399_997), (b"long" * 200_000, 700_000)],
)
def test_half_an_upload_is_continued_or_begun_anew(link, tmp_path, there, again):
    source = tmp_path / "rows.jsonl"
    source.write_bytes(os.urandom(700_000))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    part = tmp_path / f"{digest}.part"
    part.write_bytes(source.read_bytes()[:500_000] if there is None else there)
    counted: list[int] = []
    target = upload(link(), source, str(tmp_path), sent=counted.append)
    assert Path(target).read_bytes() == source.read_bytes()
    assert sum(counted) == again


def test_an_upload_goes_on_through_a_cut(link, proxy, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_bytes(os.urandom(30_000_000))
    gate = proxy(delay=0.01)
    counted: list[int] = []

    def count(number):
        counted.append(number)
        if len(counted) in {30, 70}:
            gate.cut_all()

    one = link(gate.port)
    target = upload(one, source, str(tmp_path / "pod"), sent=count)
    assert Path(target).read_bytes() == source.read_bytes()
    assert len(one.lost) == 2


def test_a_full_disk_in_the_pod_is_said(link, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_bytes(os.urandom(1000))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    (tmp_path / f"{digest}.part").symlink_to("/dev/full")
    with pytest.raises(PodRefused, match="No space left on device"):
        upload(link(), source, str(tmp_path))
