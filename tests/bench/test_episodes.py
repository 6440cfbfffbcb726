"""Making episodes with a stub model and a stub sandbox: memory at 100,000; runs for a decision."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.judge.agreement import MOST, NEEDED, decide, fewest_more_votes

pytestmark = pytest.mark.bench
MEMORY = """
import asyncio, re, sys
from pathlib import Path
from datagen.episodes.attempts import AttemptRules, Solver, Task
from datagen.episode import Column, Question, TableRef
from datagen.episodes.run_questions import fill_journal
from datagen.episodes.journal import Journal
from datagen.models.protocol import Reply
from datagen.sandbox import CellResult
from datagen.episodes.counts import EpisodeCounts
from datagen.sandbox.server_pool import ServerPool

class Cells:
    level = "full"
    def episode(self): return self
    def __enter__(self): return self
    def __exit__(self, *_): return None
    def close(self): return None
    def run(self, code): return CellResult(ok=True, submitted=True, answer=1)

class Model:
    name = "stub"
    async def reply(self, messages, *, session):
        await asyncio.sleep(0)
        return Reply(text="Reasoning. " * 100 + "\\n```python\\nsubmit(1)\\n```")

def tasks(count):
    table = TableRef(name="t", path="t.csv", sha256="0", rows=9,
                     columns=[Column(name=f"c{n}", kind="integer") for n in range(12)])
    for n in range(count):
        question = Question(id=str(n), text=f"question {n}?", answer_type="integer", truth=1,
                            source="template", family="f", difficulty="easy")
        yield Task(question=question, tables=[table], paths=[Path("t.csv")], style="full")

count, path = int(sys.argv[1]), Path(sys.argv[2])
tally = EpisodeCounts()
with Journal(path) as journal:
    servers = ServerPool(1, lambda task: Cells())
    solver = Solver(model=Model(), rules=AttemptRules(seed=0), concurrency=100)
    asyncio.run(fill_journal(journal, tasks(count), solver, kept=tally.add, servers=servers))
assert tally.right == count
# Not ru_maxrss: that starts with what the parent had.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(peak, path.stat().st_size)
"""


def test_memory_does_not_grow_with_the_episodes(tmp_path: Path):
    print(f"\n{'episodes':>10}{'peak MB':>10}{'journal MB':>12}{'seconds':>9}")
    peaks = {}
    for count in (1_000, 10_000, 100_000):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(count), str(tmp_path / str(count))],
            capture_output=True,
            text=True,
            check=True,
        )
        peak, size = map(int, done.stdout.split())
        peaks[count] = peak / 1024
        seconds = time.perf_counter() - began
        print(f"{count:>10,}{peaks[count]:>10.0f}{size / 1e6:>12.0f}{seconds:>9.1f}")
        (tmp_path / str(count)).unlink()
    grown = (peaks[100_000] - peaks[1_000]) * 1024 * 1024 / 99_000
    print(f"grown by {grown:.0f} bytes an episode")


def test_runs_for_a_decision():
    """Against a fixed five, on simulated agreement rates: the same decisions with fewer runs."""
    draw, trials = random.Random(0), 20_000
    print(f"\n{'agreement':>10}{'accepted':>10}{'mean runs':>11}{'of five':>9}")
    for rate in (0.1, 0.2, 0.3, 0.5, 0.8, 0.9, 0.95):
        taken = accepted = same = 0
        for _ in range(trials):
            course = [draw.random() < rate for _ in range(MOST)]
            votes: list[bool] = []
            while more := fewest_more_votes(votes):
                votes += course[len(votes) : len(votes) + more]
            taken += len(votes)
            accepted += bool(decide(votes))
            same += decide(votes) == (sum(course) >= NEEDED)
        assert same == trials
        runs = taken / trials
        print(f"{rate:>10}{accepted / trials:>10.3f}{runs:>11.2f}{runs / MOST:>9.0%}")
