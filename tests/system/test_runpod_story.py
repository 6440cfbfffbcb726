"""`launch train --gpu A10G` word for word: a real command, image and SSH; RunPod is the emulator."""

import json
import time
from collections.abc import Iterator

import pytest

from launcher.errors import HostKeyChanged
from tests.system.client import until
from tests.system.emulator import faults
from tests.system.emulator.link import Link
from tests.system.emulator.pod import Pod
from tests.system.emulator.server import Emulator
from tests.system.laptop import Laptop
from trainer.contract import events

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

HOURS = 0.5
STEPS = 8


@pytest.fixture
def laptop(runpod, tmp_path) -> Iterator[Laptop]:
    runpod.billing.lag = 0.0
    talk = [("user", "what is 1 + 1?"), ("assistant", "submit(2)")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n" * 8, "utf-8")
    variables = {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_API_KEY": runpod.keys.account}
    found = Laptop(tmp_path, variables)
    yield found
    found.close()


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


@pytest.fixture
def command(sft_image) -> list[str]:
    """What a user types, but for the name of the run and the number of its steps."""
    return [
        *("train", "--gpu", "A10G", "--image", sft_image, "--max-hours", str(HOURS)),
        *("--grace", "1", "--recipe", "tiny", "--model", "bundled:tiny", "--data", "rows.jsonl"),
    ]


def train(laptop: Laptop, command: list[str], *more: str, steps: int = STEPS):
    return laptop.launch(*command, "--run-id", "r1", "--set", f"max_steps={steps}", *more)


def whole(laptop: Laptop, *, steps: int = STEPS) -> None:
    """The adapter came home as its manifest says, and every event once."""
    proof = laptop.result("r1")
    assert proof.complete
    assert "adapter/adapter_model.safetensors" in proof.files
    assert laptop.steps("r1")[-1] == steps
    seen = laptop.events("r1")
    assert [one.seq for one in seen] == list(range(len(seen)))
    assert any(isinstance(one, events.Done) for one in seen)


def let_go(runpod: Emulator, engine, pod: Pod, *, hours: float = HOURS) -> None:
    """No pod is left in the account or on the engine, and none bills on."""
    assert len(runpod.pods) == 0
    pod.life.thread.join(20)
    assert engine.client.containers.list(all=True, filters={"name": pod.id}) == []
    assert engine.client.volumes.list(filters={"name": pod.id}) == []
    billed = runpod.billing.gpu_seconds(pod.id)
    assert 0 < billed <= hours * 3600
    runpod.clock.advance(3600)
    assert runpod.billing.gpu_seconds(pod.id) == billed


def created(runpod: Emulator) -> list[int | None]:
    """What each create was answered."""
    return [one.status for one in runpod.requests if one.operation == "create"]


def test_the_adapter_comes_home_and_the_pod_is_gone(
    runpod, engine, laptop, command, sft_image, tmp_path
):
    begun = time.monotonic()
    work = train(laptop, command)
    assert work.ended() == 0, work.said
    took = time.monotonic() - begun
    whole(laptop)
    pod = runpod.pods.only()
    assert pod.settings.image == sft_image
    assert runpod.keys.account not in json.dumps(pod.settings.env)
    bill, dollars = laptop.receipt("r1"), runpod.billing.dollars(pod.id)
    assert (bill["pod"], bill["settled"]) == (pod.id, True)
    assert bill["charged"] == pytest.approx(dollars, abs=1e-4)
    assert 0 < dollars <= bill["quoted_most"]
    let_go(runpod, engine, pod, hours=took / 3600)
    assert "RunPod has no A10G" in work.said
    assert runpod.keys.account not in work.said
    assert list((tmp_path / "state" / "sft-launch" / "keys").iterdir()) == []


def test_a_link_that_is_cut_loses_no_byte_and_no_event(runpod, engine, laptop, command, cuts):
    """Once in the hand-over, twice while it trains, twice in the download."""
    steps = 60
    work = train(laptop, command, steps=steps)
    until(lambda: laptop.journalled("r1", "upload", "intent"))
    pod = runpod.pods.only()
    link = pod.links[22]

    def cut(times: int) -> None:
        for _ in range(times):
            until(lambda: link._writers)
            runpod.strike(pod, faults.CutLink(down=0.2))
            until(lambda: not link._writers)

    cut(1)
    until(lambda: laptop.steps("r1"), seconds=60)
    runpod.strike(pod, faults.SlowLink(rtt=0.3))
    cut(2)
    until(lambda: laptop.journalled("r1", "fetch", "intent"), seconds=60)
    cut(2)
    assert not laptop.journalled("r1", "fetch", "done")
    assert work.ended() == 0, work.said
    assert "the pod is reached again" in work.said
    assert len([one for one in cuts if one]) == 5
    whole(laptop, steps=steps)
    let_go(runpod, engine, pod)


def test_a_create_that_says_500_is_looked_for_and_made_once(runpod, engine, laptop, command):
    runpod.script(faults.LoseReply(on="create"))
    work = train(laptop, command)
    assert work.ended() == 0, work.said
    assert created(runpod) == [500]
    whole(laptop)
    let_go(runpod, engine, runpod.pods.only())


def test_a_card_that_is_gone_gives_way_to_the_next(runpod, engine, laptop, command):
    runpod.script(faults.Capacity(when=faults.When(gpu="NVIDIA RTX A5000")))
    work = train(laptop, command)
    assert work.ended() == 0, work.said
    assert created(runpod) == [400, 201]
    pod = runpod.pods.only()
    assert pod.gpu == "NVIDIA L4"
    assert laptop.receipt("r1")["gpu"] == pod.gpu
    whole(laptop)
    let_go(runpod, engine, pod)


def test_a_laptop_that_is_gone_fetches_from_the_stopped_pod(runpod, engine, laptop, command):
    """Waits out the grace, of which a minute is the least."""
    work = train(laptop, command)
    until(lambda: laptop.steps("r1"), seconds=60)
    work.kill()
    laptop.close()  # the guard as well
    pod = runpod.pods.only()
    until(lambda: pod.status == "EXITED", seconds=150)
    billed = runpod.billing.gpu_seconds(pod.id)
    assert billed < HOURS * 3600
    runpod.clock.advance(HOURS * 3600)
    assert runpod.billing.gpu_seconds(pod.id) == billed
    seen = laptop.launch("attach", "r1")
    assert seen.ended() != 0
    assert "launch fetch r1" in seen.said
    assert len(runpod.pods) == 1
    home = laptop.launch("fetch", "r1")
    assert home.ended() == 0, home.said
    whole(laptop)
    let_go(runpod, engine, pod, hours=HOURS)


def test_another_machine_on_the_port_is_shown_nothing(runpod, engine, laptop, command):
    """Takes as long as the launcher thinks that it may be a port of yesterday."""
    runpod.script(faults.Impostor())
    work = train(laptop, command)
    assert work.ended(seconds=180) == HostKeyChanged.exit_code, work.said
    assert "another host key" in work.said
    assert not laptop.journalled("r1", "upload", "intent")
    let_go(runpod, engine, runpod.pods.only())


def test_a_container_restart_goes_on_from_the_checkpoint(runpod, engine, laptop, command):
    steps = 200
    work = train(laptop, command, "--set", "checkpoint.steps=5", steps=steps)
    until(
        lambda: any(isinstance(one, events.Checkpoint) for one in laptop.events("r1")), seconds=60
    )
    pod = runpod.pods.only()
    runpod.strike(pod, faults.Exit())
    assert work.ended() == 0, work.said
    assert pod.restarts == 1
    began = laptop.phases("r1", "running")
    assert began[0] == "from the beginning"
    assert began[1].startswith("from step ")
    whole(laptop, steps=steps)
    let_go(runpod, engine, pod)


def test_a_launcher_killed_after_the_create_is_carried_on(runpod, engine, laptop, command):
    """By another process, with the same pod."""
    work = train(laptop, command)
    until(lambda: laptop.journalled("r1", "rent", "done"))
    work.kill()
    assert not laptop.journalled("r1", "upload", "intent")
    again = laptop.launch("attach", "r1")
    assert again.ended() == 0, again.said
    assert created(runpod) == [201]
    whole(laptop)
    let_go(runpod, engine, runpod.pods.only())
