"""Seeded faults for real containers and SSH: what goes wrong, drawn before anything runs."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.system.client import Client, until
from tests.system.emulator import faults
from tests.system.laptop import Command
from tests.system.story import Story
from trainer.contract.command.errors import Fault

STEPS = 30
MOST_COMMANDS = 6
HINT = re.compile(r"launch ((?:attach|fetch|train --resume) r1)\b")
TRAINER = "kill -KILL $(grep -l 'r1/job[.]json' /proc/[0-9]*/cmdline | cut -d/ -f3)"

CALLS: dict[str, Callable[[Random], list[faults.Fault]]] = {
    "create acts, says 500": lambda r: [faults.LoseReply(on="create")],
    "create acts, connection ends": lambda r: [faults.LoseReply(on="create", how="cut")],
    "gets fail": lambda r: [faults.Refuse(on="get", status=502, times=r.randint(1, 4))],
    "lists fail": lambda r: [faults.Refuse(on="list", status=503, html=True, times=2)],
    "too many requests": lambda r: [
        faults.Refuse(status=429, retry_after=1, times=r.randint(1, 6))
    ],
    "deletes fail": lambda r: [faults.Refuse(on="delete", status=500, times=2)],
    "delete acts, says 500": lambda r: [faults.LoseReply(on="delete")],
    "connections end": lambda r: [faults.Drop(times=r.randint(1, 3))],
    "slow answers": lambda r: [faults.Delay(seconds=2.0, times=3)],
    "log streams end": lambda r: [faults.CutLogs(times=3), faults.RepeatLogs(times=3)],
    "odd create": lambda r: [faults.OddCreate()],
    "lists in pages": lambda r: [faults.Paginate(times=None)],
    "no capacity": lambda r: [faults.Capacity(times=r.randint(1, 3))],
    "fresh pod unseen": lambda r: [faults.Early404(gets=r.randint(1, 4))],
    "running before its time": lambda r: [faults.RunningEarly(seconds=3.0)],
    "slow release": lambda r: [faults.SlowRelease(seconds=4.0)],
    "slow link": lambda r: [faults.SlowLink(rtt=0.3)],
}
BLOWS = (
    "link cut", "link down", "container restarts", "trainer killed", "launcher killed",
    "launcher and guard killed", "guard killed", "Ctrl-C", "second launcher", "stopped in the console",
)  # fmt: skip
MOMENTS: dict[str, Callable[[Story], object]] = {
    "rented": lambda story: story.laptop.journalled("r1", "rent", "done"),
    "up": lambda story: story.laptop.journalled("r1", "up", "fact"),
    "training": lambda story: story.laptop.steps("r1"),
    "fetching": lambda story: story.laptop.journalled("r1", "fetch", "intent"),
}


@dataclass(frozen=True)
class Schedule:
    seed: int
    calls: tuple[str, ...]
    blow: str
    moment: str

    def __str__(self) -> str:
        return f"{self.seed}: {', '.join(self.calls)}; {self.blow} once {self.moment}"


def draw(seed: int) -> Schedule:
    rng = Random(seed)
    calls = rng.sample(sorted(CALLS), rng.randint(0, 3))
    # In turn, so that a few seeds meet every one.
    return Schedule(seed, tuple(calls), BLOWS[seed % len(BLOWS)], rng.choice(sorted(MOMENTS)))


def play(schedule: Schedule, story: Story) -> Command:
    """Begins a run, strikes, and follows what the messages say; the last command, ended."""
    rng = Random(schedule.seed)
    for name in schedule.calls:
        story.runpod.script(*CALLS[name](rng))
    work = story.train("--set", "checkpoint.steps=5", steps=STEPS)
    until(lambda: MOMENTS[schedule.moment](story) or not work.running(), seconds=300)
    strike(schedule.blow, story, work)
    for _ in range(MOST_COMMANDS):
        if work.ended(seconds=600) == 0 and finished(story):
            break
        found = HINT.findall(work.said.rsplit("error:", 1)[-1])
        work = story.laptop.launch(*(found[-1] if found else "attach r1").split())
    return work


def finished(story: Story) -> bool:
    try:
        return story.laptop.result("r1").complete
    except (Fault, OSError):
        return False


def strike(blow: str, story: Story, work: Command) -> None:
    """The blow; none where what it would hit is not there any more."""
    runpod = story.runpod
    pods = [pod for pod in runpod.pods.all.values() if pod.status == "RUNNING"]
    match blow:
        case "link cut" | "link down":
            for pod in pods:
                down = 8.0 if blow == "link down" else 0.2
                runpod.strike(pod, faults.CutLink(strikes=3, every=1.0, down=down))
        case "container restarts":
            for pod in pods:
                runpod.strike(pod, faults.Exit())
        case "trainer killed":
            for pod in pods:
                container = story.engine.client.containers.get(f"runpod-{pod.id}")
                container.exec_run(["sh", "-c", TRAINER])
        case "stopped in the console":
            with Client(runpod.url, runpod.keys.account) as console:
                for pod in pods:
                    console.post(f"/v2/pods/{pod.id}/action", {"action": "stop"})
        case "second launcher":
            story.laptop.launch("attach", "r1").ended()
        case "Ctrl-C":
            work.interrupt()
        case _:
            if "launcher" in blow:
                work.kill()
            if "guard" in blow:
                kill_guards(story)


def kill_guards(story: Story) -> None:
    folder = str(story.laptop.folder).encode()
    for pid in story.laptop.guards():
        with suppress(OSError):
            if folder in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
