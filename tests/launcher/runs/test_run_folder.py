import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tracemalloc

import pytest

from launcher.runs import run_folder
from launcher.runs.run_folder import Run, key_file
from launcher.world import World
from trainer.contract.command.errors import Locked, NotFound, Usage


@pytest.fixture
def make(tmp_path, monkeypatch):
    """``make(id)``: a run in the index, in a folder that is not the working directory's."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, folder: str | None = None) -> Run:
        made = Run(name, tmp_path / "elsewhere" / (folder or name))
        made.folder.mkdir(parents=True)
        with run_folder.hold(made, world=World()) as log:
            log.fact("created", id=name, where="here", model="m")
        run_folder.add_to_index(made, world=World())
        return made

    return run


def test_an_id_is_local_time_and_chance():
    assert re.fullmatch(r"\d{8}-\d{4}-[0-9a-f]{4}", run_folder.new_id(World()))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ü", "x" * 101, "-f"])
def test_what_cannot_name_a_folder_is_refused(name):
    with pytest.raises(Usage):
        run_folder.check_id(name)


def test_a_run_is_found_by_id_beginning_and_folder(make):
    first, second = make("20261122-1304-ab3f"), make("20261122-1305-ffff")
    for name in (first.id, "20261122-1304", str(first.folder), os.path.relpath(first.folder)):
        assert run_folder.find(name, world=World()) == first
    assert run_folder.index(world=World()) == [first, second]
    with pytest.raises(Usage, match="matches 2 runs"):
        run_folder.find("20261122", world=World())
    with pytest.raises(NotFound):
        run_folder.find("20270101", world=World())
    with pytest.raises(NotFound):
        run_folder.find("./elsewhere", world=World())


def test_an_exact_id_wins_over_longer_ones(make):
    short = make("a")
    make("ab")
    assert run_folder.find("a", world=World()) == short


def test_the_index_skips_vanished_folders_and_torn_lines(make):
    gone, kept = make("gone"), make("kept")
    shutil.rmtree(gone.folder)
    index = World().state_folder() / run_folder.INDEX
    with index.open("ab") as file:
        file.write(b'null\n{"id": 3}\n{"v": 1, "id": "to')
    assert run_folder.index(world=World()) == [kept]
    with pytest.raises(NotFound):
        run_folder.find("gone", world=World())


def test_run_json_is_derived_from_the_journal(make):
    run = make("a")
    run.summary.unlink()
    with run_folder.hold(run, world=World()) as log:
        with log.effect("start", offset=7) as outcome:
            outcome["pid"] = 12
        log.fact("ended", state="failed", cause="why")
        with log.effect("start", offset=9) as outcome:
            outcome["pid"] = 13
    facts = json.loads(run.summary.read_text())
    assert (facts["id"], facts["state"], facts["offset"], facts["pid"]) == ("a", "started", 9, 13)
    assert "cause" not in facts


def test_a_second_holder_is_told_who_holds(make):
    run = make("a")
    with run_folder.hold(run, world=World()):
        with pytest.raises(Locked, match=rf"process {os.getpid()}") as caught:
            run_folder.hold(run, world=World()).__enter__()
        assert "launch logs -f a" in caught.value.hint
    with run_folder.hold(run, world=World()):
        pass


def test_a_lock_dies_with_its_holder_but_lives_on_in_a_child(tmp_path):
    path = tmp_path / "lock"
    hold = (
        "import os, sys, subprocess\nfrom launcher.runs import run_folder\nfrom launcher.world import World\n"
        "from pathlib import Path\n"
        "with run_folder.lock(Path(sys.argv[1]), world=World()) as fd:\n"
        "    child = subprocess.Popen(['sleep', '60'], pass_fds=[fd], stdout=-3, stderr=-3)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hold, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    child = int(done.stdout)
    assert run_folder.is_locked(path)
    pid_file = os.pidfd_open(child)
    signal.pidfd_send_signal(pid_file, signal.SIGKILL)
    select.select([pid_file], [], [], 10)
    os.close(pid_file)
    assert not run_folder.is_locked(path)


def test_no_lock_file_is_no_lock(tmp_path):
    assert not run_folder.is_locked(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_end_of_a_log_of_gigabytes_is_read_alone(tmp_path):
    run = run_folder.Run("a", tmp_path)
    with run.log.open("wb") as file:
        file.truncate(4 << 30)
        file.seek(0, 2)
        file.write(b"\nlast line\n")
    tracemalloc.start()
    try:
        assert run.log_tail[-1] == "last line"
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_runs_key_lies_in_the_users_state_folder(tmp_path):
    world = World()
    assert key_file(Run("a", tmp_path), world) == world.state_folder() / "keys" / "a"
