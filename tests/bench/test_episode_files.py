"""export, score, card and split over files of episodes: processor seconds, 2n over n, and peak memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.episode_file import write

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
COUNTS = (10_000, 20_000, 100_000)
SCRIPT = """
import json, re, sys, time
from pathlib import Path
from datagen.cli import main
began = time.process_time()
assert main(sys.argv[1:]) == 0
# Not ru_maxrss: that starts with what the parent had.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps([time.process_time() - began, int(peak) / 1024]))
"""
VERBS = {
    "export": ["export", "--out", "rows", "--rejected", "pairs", "--per-table", "100"],
    "score": ["score", "--out", "scored"],
    "card": ["card", "--out", "card"],
    "split": ["split", "--family-share", "0.25"],
}


def test_time_grows_with_the_file_and_memory_does_not(tmp_path: Path):
    took: dict[str, list[tuple[float, float]]] = {verb: [] for verb in VERBS}
    for count in COUNTS:
        folder = tmp_path / str(count)
        folder.mkdir()
        write(folder / "episodes.jsonl", count)
        for verb, (name, *flags) in VERBS.items():
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, name, "episodes.jsonl", *flags],
                cwd=folder, capture_output=True, text=True, check=True,
            )  # fmt: skip
            took[verb].append(tuple(json.loads(done.stdout.splitlines()[-1])))
        shutil.rmtree(folder)
    small, _, large = COUNTS
    print(f"\n{'':8}" + "".join(f"{f'{count:,} episodes':>24}" for count in COUNTS))
    print(
        f"{'verb':8}" + f"{'cpu s':>14}{'MB':>10}" * 3 + f"{'2n / n':>10}{'bytes an episode':>18}"
    )
    for verb, its in took.items():
        cells = "".join(f"{seconds:14.1f}{peak:10.0f}" for seconds, peak in its)
        grown = (its[2][1] - its[0][1]) * 2**20 / (large - small)
        print(f"{verb:8}{cells}{its[1][0] / its[0][0]:10.2f}{grown:18.0f}")
