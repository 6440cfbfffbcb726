"""Who may read and write what a launcher leaves, under the loosest umask and the strictest."""

import os
import stat
from pathlib import Path

import pytest

from launcher.runs import run_folder
from launcher.ssh import make_key


@pytest.fixture
def umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "denied"), [(0o000, 0o002), (0o077, 0o077)])
def test_a_run_is_nobody_elses_to_change(launch, folder, umask, mask, denied):
    umask(mask)
    done = launch("train", "--run-id", "r", "--data", "data.jsonl")
    umask(0)
    assert done.returncode == 0, done.stderr

    run = run_folder.at(folder / "runs" / "r")
    state = Path(os.environ["XDG_STATE_HOME"]) / "sft-launch"
    left = [*run.folder.rglob("*"), run.folder, run.folder.parent, *state.rglob("*"), state]
    assert {run.journal, run.summary, run.events, run.log, run.manifest} < {*left}
    assert {str(path): oct(mode(path)) for path in left if mode(path) & denied} == {}


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_key_is_its_owners_alone(tmp_path, umask, mask):
    umask(mask)
    make_key(tmp_path / "key")
    assert mode(tmp_path / "key") == 0o600
