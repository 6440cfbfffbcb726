"""`launch train --gpu A10G` word for word: a real command, image and SSH; RunPod is the emulator."""

import json
import time

import pytest

from launcher.errors import HostKeyChanged
from tests.system.client import until
from tests.system.emulator import faults
from tests.system.emulator.link import Link
from trainer.contract import events

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]


@pytest.fixture
def cuts(monkeypatch) -> list[int]:
    """Of each cut of a link, how many connections it broke, both halves counted."""
    found: list[int] = []
    cut = Link.cut

    def counted(link: Link, *, down: float = 0.0) -> None:
        found.append(len(link._writers))
        cut(link, down=down)

    monkeypatch.setattr(Link, "cut", counted)
    return found


def test_the_adapter_comes_home_and_the_pod_is_gone(story, runpod, laptop, tmp_path):
    begun = time.monotonic()
    work = story.train()
    assert work.ended() == 0, work.said
    took = time.monotonic() - begun
    story.whole()
    pod = runpod.pods.only()
    assert pod.settings.image == story.image
    assert runpod.keys.account not in json.dumps(pod.settings.env)
    bill, dollars = laptop.receipt("r1"), runpod.billing.dollars(pod.id)
    assert (bill["pod"], bill["settled"]) == (pod.id, True)
    assert bill["charged"] == pytest.approx(dollars, abs=1e-4)
    assert 0 < dollars <= bill["quoted_most"]
    story.ledger(work, says=["RunPod has no A10G"], hours=took / 3600)
    assert runpod.keys.account not in work.said
    state = tmp_path / "state" / "sft-launch"
    assert list((state / "keys").iterdir()) == []
    # For the next plan; without a card nothing is known of its speed.
    figures = json.loads((state / "measured.jsonl").read_text("utf-8"))
    assert (figures["run"], figures["card"], figures["tokens_per_second"]) == ("r1", pod.gpu, None)
    assert 0 < figures["pull_seconds"] + figures["start_seconds"] < figures["seconds"] < took


def test_a_link_that_is_cut_loses_no_byte_and_no_event(story, runpod, laptop, cuts):
    """Once in the login, twice while it trains, twice in the download."""
    steps = 60
    work = story.train(steps=steps)
    until(lambda: laptop.journalled("r1", "up", "fact"))
    pod = runpod.pods.only()
    link = pod.links[22]

    def cut(times: int) -> None:
        for _ in range(times):
            until(lambda: link._writers)
            runpod.strike(pod, faults.CutLink(down=0.2))
            until(lambda: not link._writers)

    cut(1)
    until(lambda: laptop.steps("r1"), seconds=180)
    runpod.strike(pod, faults.SlowLink(rtt=0.3))
    cut(2)
    until(lambda: laptop.journalled("r1", "fetch", "intent"), seconds=180)
    cut(2)
    assert not laptop.journalled("r1", "fetch", "done")
    assert work.ended() == 0, work.said
    assert len([one for one in cuts if one]) == 5
    story.whole(steps=steps)
    story.ledger(work, says=["the pod is reachable again"])


def test_a_create_that_says_500_is_looked_for_and_made_once(story, runpod):
    runpod.script(faults.LoseReply(on="create"))
    work = story.train()
    story.ledger(work)
    assert story.created() == [500]
    story.whole()


def test_a_card_that_is_gone_gives_way_to_the_next(story, runpod, laptop):
    """First it is asked for without a place, then in the data centres that say they have it."""
    runpod.script(faults.Capacity(when=faults.When(gpu="NVIDIA RTX A5000"), times=None))
    work = story.train()
    story.ledger(work, says=["renting NVIDIA RTX A5000 in ", "renting NVIDIA L4 at"])
    *refused, made = story.created()
    assert len(refused) > 1
    assert ({*refused}, made) == ({400}, 201)
    pod = runpod.pods.only()
    assert pod.gpu == "NVIDIA L4"
    assert laptop.receipt("r1")["gpu"] == pod.gpu
    story.whole()


def test_another_machine_on_the_port_is_shown_nothing(story, runpod, laptop):
    """Takes as long as the launcher thinks that it may be a port of yesterday."""
    runpod.script(faults.Impostor())
    work = story.train()
    work.ended()
    story.ledger(work, code=HostKeyChanged.exit_code, says=["host key differs"], adapter="none")
    assert not laptop.journalled("r1", "upload", "intent")


def test_a_container_restart_goes_on_from_the_checkpoint(story, runpod, laptop):
    steps = 200
    work = story.train("--set", "checkpoint.steps=5", steps=steps)
    until(
        lambda: any(isinstance(one, events.Checkpoint) for one in laptop.events("r1")), seconds=60
    )
    pod = runpod.pods.only()
    runpod.strike(pod, faults.Exit())
    story.ledger(work)
    assert pod.restarts == 1
    began = laptop.phases("r1", "running")
    assert began[0] == "from the beginning"
    assert began[1].startswith("from step ")
    story.whole(steps=steps)
