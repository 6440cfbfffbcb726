"""The live check in an account in virtual time; whole and real in tests/system/test_doctor_live.py."""

import sys
from pathlib import Path

import pytest

from launcher.doctor import Finding
from launcher.errors import NoCapacity
from launcher.live_check import check, killed
from launcher.quote import measured
from launcher.settings import FoundSettings, Settings
from launcher.view.plain import PlainView
from tests.launcher.live_check.test_evidence import a_run, figures
from tests.launcher.rental.account import KEY, Account, VirtualWorld

IMAGE = "ghcr.io/me/sft@sha256:00"


class Quiet(PlainView):
    def __init__(self, world):
        super().__init__(sys.stdout, world=world)

    def say(self, text):
        pass


@pytest.fixture
def account(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Account(tmp_path / "cloud")


@pytest.fixture
def world(account):
    return VirtualWorld(account)


@pytest.fixture
def certify(tmp_path, world, monkeypatch):
    """``certify(**settings)``; the launcher to kill, which is a process, is left out."""
    monkeypatch.setattr(
        killed, "check", lambda *_, **__: Finding(killed.WHAT, ok=True, detail="left out")
    )

    def run(**settings):
        wanted = Settings(**{"image": IMAGE, "max_cost": 0.5, **settings})
        found = FoundSettings(settings=wanted, sources={})
        return check.run(found, folder=tmp_path / "live", world=world, view=Quiet(world))

    return run


def states(made):
    return {one.what: one.state for one in made.checks}


def test_without_a_key_nothing_is_rented(certify, world, account):
    world.variables = {}
    made = certify()
    assert made.state == "broken"
    assert states(made) == {"key": "broken"}
    assert account.created == []


def test_what_cannot_be_rented_is_broken_and_the_rest_is_not_reached(certify, account):
    for gpu in account.gpus:
        account.refuse[gpu.id] = [NoCapacity("none left")] * 9
    made = certify()
    found = states(made)
    assert made.state == "broken"
    assert found["image pull"] == "broken"
    assert found["training"] == found["card in bf16"] == found[killed.WHAT] == "skipped"
    assert (found["deletion"], made.receipts) == ("skipped", [])


def test_what_a_run_has_spent_is_taken_from_the_next(account, world, tmp_path):
    account.bills = False
    made = check.LiveCheck(
        tmp_path / "live",
        Settings(image=IMAGE, max_cost=0.5),
        account,
        world,
        Quiet(world),
    )
    made.tiny()
    (machine,) = account.machines.values()
    assert machine.settings.gone_by - machine.born <= check.TINY_HOURS * 3600
    rate = 0.27 + 60 * 0.10 / 730  # USD an hour, with 20 + 40 GB of disk at $0.10 a GB and month
    spent = (machine.ended - machine.born) / 3600 * rate
    assert 0 < spent < 0.1
    assert made._capped(1.0).max_cost == pytest.approx(0.5 - spent, abs=0.002)


@pytest.mark.parametrize(("peak", "state"), [(10.5e9, "held"), (12e9, "broken")])
def test_on_a_card_a_3b_model_is_measured_in_both_precisions(
    peak, state, certify, world, monkeypatch
):
    """With hand-made runs on a card, as a card would leave them."""
    jobs = []

    def trained(request, *, world, view):
        jobs.append(request.job)
        folder = Path(request.job.output)
        folder.parent.mkdir(parents=True, exist_ok=True)
        a_run(folder, run_id=request.run_id)
        measured.keep(
            figures(run=request.run_id, peak_bytes=round(peak), predicted_bytes=10**10), world=world
        )

    monkeypatch.setattr(check, "train", trained)
    monkeypatch.setattr(check.LiveCheck, "delete_pods", lambda _: None)
    monkeypatch.setattr(check.LiveCheck, "receipts", lambda _: [])
    made = certify()
    found = states(made)
    assert found["training"] == found["self-test"] == "held"
    assert found["card in bf16"] == found["card in nf4"] == made.state == state
    assert [(job.model, job.precision) for job in jobs] == [
        ("bundled:tiny", "fp32"),
        ("Qwen/Qwen2.5-3B-Instruct", "bf16"),
        ("Qwen/Qwen2.5-3B-Instruct", "nf4"),
    ]
    assert made.card == "NVIDIA L4"
    assert len(made.measured) == 3


@pytest.mark.parametrize("after", [40.0, 200.0])
def test_a_check_that_is_cut_short_leaves_no_pod(after, certify, world, account):
    def cut():
        raise KeyboardInterrupt

    account.behaviour = "hang"
    account.plans.append((account.time + after, cut))
    with pytest.raises(KeyboardInterrupt):
        certify()
    assert account.machines
    assert {machine.status for machine in account.machines.values()} == {"TERMINATED"}


def test_the_certificate_names_no_key_and_no_path(certify, tmp_path, world):
    made = certify()
    assert states(made)["guard rehearsal"] == "held", made.lines()
    text = (tmp_path / "live" / "certificate.json").read_text("utf-8")
    assert KEY not in text
    assert str(tmp_path) not in text
