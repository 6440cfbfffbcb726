"""One schedule from its first command to long after: a user who starts a run, and follows the hints."""

import json
import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from launcher.runs import run_folder
from launcher.runs.run_state import read
from tests.chaos import invariants
from tests.chaos.clock import Clock, Hung
from tests.chaos.cloud import Cloud
from tests.chaos.laptop import Laptop, Process, installed
from tests.chaos.schedule import Schedule, Strike, draw

BEGIN = 1_800_000_000.0
ROW = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}\n'
HINT = re.compile(r"launch ((?:attach|fetch|stop|train --resume) a(?: --now)?)\b")
LONGEST = 10 * 3600.0


@dataclass
class Told:
    """How a schedule went."""

    schedule: Schedule
    faults: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    outcome: str = ""
    asked: list[str] = field(default_factory=list)
    steps: int = 0

    def lines(self) -> list[str]:
        return [
            *self.schedule.lines(),
            *self.commands,
            *(f"  BROKEN: {fault}" for fault in self.faults),
            f"  {self.outcome}",
        ]


class User:
    """Runs a command, waits for its end, reads what it says."""

    def __init__(self, laptop: Laptop, strike: Strike, told: Told, run: run_folder.Run) -> None:
        self.run_folder = run
        self.laptop, self.clock, self.strike, self.told = laptop, laptop.clock, strike, told
        self.left = iter(told.schedule.delays)

    def run(self, *argv: str) -> Process:
        process = self.laptop.run(*argv)
        give_up = self.clock.time + LONGEST
        while not process.over and self.clock.time < give_up:
            self.clock.sleep(20)
        if not process.over:
            self.told.faults.append(f"launch {' '.join(argv)} did not end within {LONGEST:.0f} s")
            self.laptop.kill(process)
            self.clock.sleep(0)
        return process

    def story(self, rng: Random) -> None:
        settings = [word for item in self.told.schedule.settings.items() for word in item]
        last = self.run(
            *("train", "--on", "runpod", "--run-id", "a", "--data", "data.jsonl"),
            *("--model", "bundled:tiny", "--image", "me/sft@sha256:00", *settings),
        )
        for delay in self.left:
            if last.code == 0:
                break
            self.clock.sleep(delay)
            last = self.run(*self.next(last, rng))
        # Long after the last fault: what is left is brought home, and nothing may be billed.
        self.clock.sleep(max(0.0, self.strike.quiet_from - self.clock.time) + 600)
        self.laptop.skew, self.laptop.kill_at, self.laptop.guard_lives = 0.0, [], True
        self.laptop.cut_bytes, self.laptop.cuts, self.laptop.stalls = [], [], 0
        self.strike.cloud.end_troubles()
        self.strike.cloud.none_to_wake = 0
        self.run("fetch", "a")
        self.clock.sleep(3 * 3600)
        self.run("fetch", "a")
        self.told.faults += invariants.released(self.strike.cloud, self.run_folder)
        self.run("reap")
        self.clock.sleep(7200)

    def next(self, last: Process, rng: Random) -> list[str]:
        """What the message says; after a crash, or where it says nothing, what a user would try."""
        found = HINT.findall(last.text.rsplit("error:", 1)[-1]) if last.code is not None else []
        if found and rng.random() < 0.8:
            return str(found[-1]).split()
        choice = rng.choice(
            ["attach a", "fetch a", "attach a", "stop a", "reap", "ps", "train --resume a"]
        )
        return choice.split()


def play(seed: int, *, schedule: Schedule | None = None) -> Told:
    """Run the schedule of ``seed``; what it broke is in ``faults``."""
    schedule = schedule or draw(seed)
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="chaos", dir=shm if shm.is_dir() else None))
    told = Told(schedule)
    try:
        _play(schedule, folder, told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return told


def _play(schedule: Schedule, folder: Path, told: Told) -> None:
    rng = Random(schedule.seed + 1)
    clock = Clock(BEGIN)
    cloud = Cloud(clock, folder / "cloud", rng, schedule.plans)
    laptop = Laptop(clock, cloud, folder, rng)
    cloud.grain = laptop.grain = schedule.grain
    laptop.project.mkdir()
    (laptop.project / "data.jsonl").write_text(ROW * 3)
    run = run_folder.Run("a", laptop.project / "runs" / "a")
    cloud.home_has = lambda pod: invariants.at_home(pod, run)
    strike = Strike(cloud, laptop)
    for fault in schedule.faults:
        strike.plan(fault)
    with installed(laptop):
        try:
            User(laptop, strike, told, run).story(rng)
        except Hung as hung:
            told.faults.append(f"hung: {hung}")
        told.struck, told.steps, told.asked = strike.struck, clock.steps, cloud.asked
        for process in (*laptop.processes, *laptop.guards):
            begun = process.begun - BEGIN
            last = process.text.strip().splitlines()[-4:]
            told.commands.append(
                f"  {begun:8.0f} s  launch {' '.join(process.argv)[:60]} -> {process.code}"
            )
            told.commands += [f"      {text[:200]}" for text in last]
        told.faults += invariants.broken(cloud, laptop, run, schedule)
        told.outcome = outcome(cloud, run)
        clock.close()
    told.faults += [
        f"{actor.name}: {type(actor.error).__name__}: {actor.error}"
        for actor in clock.actors
        if actor.error is not None
    ]


def outcome(cloud: Cloud, run: run_folder.Run) -> str:
    """How it ended, in words that can be counted."""
    if not read(run.journal).names or not cloud.pods:
        return "nothing was rented"
    home = run.manifest.exists()
    complete = home and json.loads(run.manifest.read_text())["complete"]
    kept = Counter(pod.status for pod in cloud.pods.values())
    state = "adapter at home" if complete else "partial adapter at home" if home else "no adapter"
    return f"{state}, {'a pod is kept stopped' if kept['EXITED'] else 'no pod is left'}"
