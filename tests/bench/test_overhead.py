"""What `launch train` adds to the job itself: against a bare `docker run` of it, same image, same run."""

import shutil
import statistics
import subprocess
import time

import pytest

from trainer.contract import manifest
from trainer.contract.job import from_sources

pytestmark = [
    pytest.mark.bench,
    pytest.mark.engine,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command here"),
]

RUNS = 5
STEPS = 8
PARTS = {
    "read the data, quote": ("rent", "intent"),
    "rent, pull, boot, host key": ("up", "fact"),
    "guard proved, upload": ("start", "done"),
    "train in the pod": ("fetch", "intent"),
    "download, verify": ("verify", "done"),
    "release, absence confirmed": ("release", "done"),
}


def test_overhead(story, laptop, tmp_path):
    """The image is on the machine and the link is the loopback: what is left is ours."""
    sets = [f"max_steps={STEPS}"]
    flags = {"model": "bundled:tiny", "data": "rows.jsonl", "output": "out"}

    def bare(number: int) -> None:
        folder = tmp_path / f"bare-{number}"
        folder.mkdir()
        shutil.copy(tmp_path / "rows.jsonl", folder)
        (folder / "job.json").write_text(from_sources("tiny", sets, flags).to_json())
        mount = f"{folder}:/workspace"
        command = ["docker", "run", "--rm", "-v", mount, story.image, "train", "job.json"]
        subprocess.run(command, check=True, capture_output=True)
        assert manifest.verify(folder / "out").complete

    def launch(number: int) -> None:
        work = story.train(run=f"run-{number}", steps=STEPS)
        assert work.ended() == 0, work.said

    took: dict[str, list[float]] = {"docker run": [], "launch train": []}
    parts: dict[str, list[float]] = {name: [] for name in [*PARTS, "bill, end"]}
    for number in range(RUNS):
        started = time.time()
        bare(number)
        begun = time.time()
        launch(number)
        ended = time.time()
        took["docker run"].append(begun - started)
        took["launch train"].append(ended - begun)
        for name, seconds in split(laptop.journal(f"run-{number}"), begun, ended).items():
            parts[name].append(seconds)
        story.whole(run=f"run-{number}", steps=STEPS)

    print(
        f"\n{STEPS} steps of the tiny model in the same image, {RUNS} pairs by turns: median (range)"
    )
    pairs = list(zip(took["launch train"], took["docker run"], strict=True))
    table = {
        **took,
        "difference": [ours - theirs for ours, theirs in pairs],
        **{f"  {name}": seconds for name, seconds in parts.items()},
    }
    for name, times in table.items():
        print(
            f"{name:<30} {statistics.median(times):6.2f} s  ({min(times):.2f} to {max(times):.2f})"
        )
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"{'ratio':<30} {ratio:6.2f}")


def split(journal: list[dict], begun: float, ended: float) -> dict[str, float]:
    """Seconds of each part, by the first entry of the journal that ends it."""
    found, before = {}, begun
    for name, last in PARTS.items():
        at = next(one["time"] for one in journal if (one["what"], one["stage"]) == last)
        found[name], before = at - before, at
    return {**found, "bill, end": ended - before}
