"""The sandbox as a service: the same episodes over a Unix socket, and what the service refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datagen.sandbox import CellLimits, Sandbox, frames, remote
from datagen.sandbox.level import SandboxSetting, from_setting
from datagen.sandbox.server import service
from trainer.contract.command.errors import BadData, NotFound, SandboxUnsafe, Usage

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "a.csv").write_text("city,sales\nBern,3\nBasel,5\n", encoding="utf-8")
    (folder / "b.csv").write_text("k\n7\n", encoding="utf-8")
    return folder


def started(place: Path, tables: Path, *more: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "datagen.sandbox", "serve", "--socket", str(place)]
    return subprocess.Popen(
        [*command, "--tables", str(tables), *more],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def place(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("run") / "socket"
    process = started(path, tables, OPENROUTER_API_KEY="sk-secret", TZ="Asia/Tokyo")
    yield f"unix:{path}"
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    process.stderr.close()


def test_episodes_run_as_they_do_here(place, tables):
    code = "df['x'] = 1\nprint('seen')\nhook(1, 'h')\nsubmit([int(df['sales'].sum()), len(tables)])"
    with Sandbox({"a": tables / "a.csv", "b": tables / "b.csv"}, place=place) as box:
        assert box.level == "full"
        for _ in range(2):
            with box.episode() as episode:
                result = episode.run(code)
                assert (result.answer, result.stdout, len(result.hooks)) == ([8, 2], "seen\n", 1)
                assert episode.run("submit(list(df.columns))").answer == ["city", "sales", "x"]


def test_environment_of_the_service_reaches_no_cell(place, tables):
    with Sandbox({"a": tables / "a.csv"}, place=place) as box, box.episode() as episode:
        environment = episode.run("import os\nsubmit(dict(os.environ))").answer
    assert "sk-secret" not in str(environment)
    assert (environment["TZ"], environment["PYTHONHASHSEED"]) == ("UTC", "0")


def test_many_clients_at_once_each_with_its_own_tables(place, tables):
    def one(number: int) -> object:
        name = "ab"[number % 2]
        with Sandbox({name: tables / f"{name}.csv"}, place=place) as box, box.episode() as episode:
            episode.run(f"mine = {number}")
            return episode.run("submit([mine, len(df)])").answer

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(one, range(12))) == [[n, 2 - n % 2] for n in range(12)]


def test_dead_server_is_replaced(place, tables):
    with Sandbox({"a": tables / "a.csv"}, place=place) as box, box.episode() as episode:
        pids = episode.run("import os\nsubmit([os.getpid(), os.getppid()])").answer
        os.kill(pids[1], signal.SIGKILL)
        assert _all_end(pids)
        assert not episode.run("submit(1)").ok
        assert episode.run("submit(len(df))").answer == 2


def test_endless_cell_is_stopped(place, tables):
    limits = CellLimits(cell_seconds=0.3)
    with Sandbox({"a": tables / "a.csv"}, limits, place=place) as box, box.episode() as episode:
        assert episode.run("while True: pass").timed_out
        assert episode.run("submit(1)").answer == 1


def test_server_ends_with_its_client(place, tables):
    with Sandbox({"a": tables / "a.csv"}, place=place) as box, box.episode() as episode:
        pids = episode.run("import os\nsubmit([os.getpid(), os.getppid()])").answer
    assert _all_end(pids)


def _all_end(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(_runs, pids))


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_only_tables_below_its_folders_are_read(place, tables, tmp_path):
    outside = tmp_path / "outside.csv"
    outside.write_text("secret\n1\n", encoding="utf-8")
    link = tables / "link.csv"
    link.symlink_to(outside)
    for path in (outside, link, tables / ".." / "outside.csv", Path("/etc/passwd")):
        with pytest.raises(NotFound, match="outside the folders"):
            Sandbox({"t": path}, place=place)
    with pytest.raises(NotFound, match="no such file"):
        Sandbox({"t": tables / "none.csv"}, place=place)
    link.unlink()


def test_a_lower_level_is_not_to_be_had(place, tables):
    with pytest.raises(SandboxUnsafe, match="reaches level full here, not none"):
        Sandbox({"a": tables / "a.csv"}, level="none", place=place)


@pytest.mark.parametrize(
    "setup",
    [
        None,
        [],
        {},
        {"tables": {}},
        {"tables": {"a": 7}},
        {"tables": {"a": {"path": 7}}},
        {"tables": {"a": {"path": "/etc/passwd"}}},
        {"tables": {"a": {"path": "a.csv", "reading": {"encoding": 7}}}},
        {"tables": {"a": {"path": "a.csv", "reading": None}}, "level": "none"},
    ],
)
def test_nothing_a_client_says_gets_it_more(place, tables, setup):
    control = socket.socket(socket.AF_UNIX)
    with control:
        control.connect(place.removeprefix("unix:"))
        frames.write_frame(control.fileno(), setup)
        answer = frames.read_frame(control.fileno(), deadline=time.monotonic() + 20)
    assert answer.get("level", "full") == "full"
    assert ("level" in answer) == (isinstance(setup, dict) and "level" in setup)


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00\x00\x00\x02[]"]
)
def test_a_stranger_harms_nobody(place, tables, data):
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(place.removeprefix("unix:"))
        control.sendall(data)
    with Sandbox({"a": tables / "a.csv"}, place=place) as box, box.episode() as episode:
        assert episode.run("submit(1)").answer == 1


def test_tables_are_checked_without_being_read(place, tables, tmp_path, monkeypatch):
    monkeypatch.setenv("SFT_SANDBOX", place)
    (tables / "torn.csv").write_bytes(b"\xff\x00")
    remote.check_tables([tables / "a.csv", tables / "torn.csv"])
    outside = [tmp_path / f"{number}.csv" for number in range(7)]
    with pytest.raises(NotFound) as caught:
        remote.check_tables([tables / "a.csv", *outside])
    listed = ", ".join(map(str, outside[:5]))
    assert caught.value.cause.startswith(f"{listed} and 2 more: outside the folders")
    assert f"move the tables to {tables} and make the episodes again" in caught.value.hint
    monkeypatch.delenv("SFT_SANDBOX")
    remote.check_tables(outside)


def test_limits_are_cut_to_the_service_s_own(tables):
    gate = service.ClientRules(folders=(tables,), most=CellLimits(memory_bytes=10, output_chars=20))
    asked = {"memory_bytes": 99, "output_chars": "much", "cpu_seconds": -1, "level": "none"}
    setup = gate.check_setup({"tables": {"a": {"path": "a.csv"}}, **asked})
    assert setup == {
        "tables": {"a": {"path": str(tables / "a.csv"), "reading": None}},
        "level": "full",
        "memory_bytes": 10,
        "cpu_seconds": 121,
        "output_chars": 20,
    }


def test_links_lead_nowhere_whoever_names_them(tables, tmp_path):
    """A client of ours resolves them itself; another may not."""
    (tmp_path / "outside.csv").write_text("secret\n1\n", encoding="utf-8")
    (tables / "way-out.csv").symlink_to(tmp_path / "outside.csv")
    for name in ("way-out.csv", "../outside.csv", "/etc/passwd"):
        with pytest.raises(NotFound, match="outside the folders"):
            service.ClientRules(folders=(tables,)).check_setup({"tables": {"t": {"path": name}}})
    (tables / "way-out.csv").unlink()


def test_unreadable_table_says_what_to_do(tables, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadData, match="may not read it") as caught:
        service.ClientRules(folders=(tables,)).check_setup({"tables": {"a": {"path": "a.csv"}}})
    assert "chmod o+r a.csv" in caught.value.hint


def test_service_takes_the_place_of_one_that_is_dead_only(tables, tmp_path):
    path = tmp_path / "socket"
    first = started(path, tables)
    with Sandbox({"a": tables / "a.csv"}, place=f"unix:{path}"):
        second = started(path, tables)
        assert second.wait(20) == Usage.exit_code
        assert "Address already in use" in second.communicate()[1].decode()
    first.kill()
    first.communicate()
    third = started(path, tables)
    with Sandbox({"a": tables / "a.csv"}, place=f"unix:{path}") as box, box.episode() as episode:
        assert episode.run("submit(1)").answer == 1
    third.terminate()
    third.communicate()


def test_no_service_is_a_fault(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "CONNECT_SECONDS", 0.2)
    with pytest.raises(SandboxUnsafe, match="no sandbox service at"):
        Sandbox({"a": tables / "a.csv"}, place=f"unix:{tmp_path / 'nobody'}")


def test_service_that_goes_away_is_told(tables, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            listener.accept()[0].close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(hang_up)
            with pytest.raises(SandboxUnsafe, match="ended without an answer"):
                Sandbox({"a": tables / "a.csv"}, place=f"unix:{path}")


def test_setting_names_a_place(monkeypatch):
    assert from_setting("unix:/run/x") == SandboxSetting(socket=Path("/run/x"))
    assert from_setting("reduced") == SandboxSetting(level="reduced")
    assert from_setting("") == SandboxSetting()
    monkeypatch.setenv("SFT_SANDBOX", "none")
    assert from_setting() == SandboxSetting(level="none")
    with pytest.raises(Usage, match="unknown sandbox 'docker'"):
        from_setting("docker")


def test_environment_chooses_the_service(place, tables, monkeypatch):
    monkeypatch.setenv("SFT_SANDBOX", place)
    with Sandbox({"a": tables / "a.csv"}) as box, box.episode() as episode:
        assert isinstance(box._server, remote.RemoteServer)
        assert json.dumps(episode.run("submit(df['sales'].tolist())").answer) == "[3, 5]"
