"""kill -9 at every line of the journal: before it is written, and after. Then ``launch attach``."""

import pytest

from launcher.request import Request
from launcher.runs import run_folder, status
from launcher.runs.journal import Journal, read
from launcher.settings import Settings
from launcher.train import train
from tests.launcher.rental.account import Account, VirtualWorld
from tests.launcher.rental.conftest import IMAGE, ROW, Heard
from trainer.contract import manifest
from trainer.contract.job import Job


class Killed(BaseException):
    """As if the process had ended: nothing is written any more."""


def kill_at(monkeypatch, line, *, after):
    """The journal's ``line``-th append, counted from 1, is the last thing that happens."""
    real = Journal._append
    count = 0

    def append(self, what, stage, facts):
        nonlocal count
        count += 1
        if count > line or (count == line and not after):
            raise Killed
        real(self, what, stage, facts)
        if count == line:
            raise Killed

    monkeypatch.setattr(Journal, "_append", append)


LINES = 19  # of a run that nobody kills


def story(world, *, resume=None):
    request = Request(
        job=None if resume else Job(data="data.jsonl", model="bundled:tiny"),
        run_id=None if resume else "a",
        where="runpod",
        resume=resume,
        attach=resume is not None,
        settings=Settings(image=IMAGE),
    )
    return train(request, world=world, view=Heard(world))


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "data.jsonl").write_text(ROW * 3)
    return folder


def test_the_lines_are_as_many_as_are_tried(project, tmp_path):
    run = story(VirtualWorld(Account(tmp_path / "cloud"))).run
    assert len(read(run.journal)) == LINES


@pytest.mark.parametrize("away", [0, 20], ids=["at once", "when all is trained"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("line", range(1, LINES + 1))
def test_attach_carries_on(line, after, away, project, tmp_path, monkeypatch):
    account = Account(tmp_path / "cloud")
    with monkeypatch.context() as patch:
        kill_at(patch, line, after=after)
        with pytest.raises(Killed):
            story(VirtualWorld(account))
    run = run_folder.Run("a", project / "runs" / "a")
    if not read(run.journal):
        assert not account.machines
        return

    for _ in range(away):
        account.pass_time(1)
    outcome = story(VirtualWorld(account), resume="a")

    assert outcome.manifest.complete
    assert manifest.verify(run.folder).complete
    assert len(account.machines) == 1, "rented once"
    assert not account.alive()
    assert status.look(run).state == "finished"
    machine = next(iter(account.machines.values()))
    assert (run.folder / "events.jsonl").read_bytes() == (
        machine.root / "run" / "events.jsonl"
    ).read_bytes()
