"""The hardened sandbox against a bare fork of the same process that runs the same code.

The baseline imports, reads and warms up as the server does, then forks, runs the cell and waits, two at
a time: no restrictions, no channel, no client. Processor time is of all processes, and does not depend
on who else uses the machine as wall time does; the rounds take turns.
"""

import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datagen.sandbox import Level, Sandbox
from datagen.sandbox.start_server import ServerProcess, _environment
from datagen.tables.table import bundled_tables

pytestmark = pytest.mark.bench
EPISODES, ROUNDS, AT_ONCE, TURNS = 120, 3, 3, 300
CELL = "r = df.groupby('manufacturer')['seats'].mean().sort_values().tail(3)\nprint(r)\nsubmit(r.index[-1])"
BARE = """
import os, sys, time
from datagen.sandbox.cells.cell import Cells
from datagen.sandbox.server.preload import read_tables, warm_cells, warm_tables
tables = read_tables({"planes": {"path": sys.argv[1], "reading": None}})
warm_tables(tables)
cells = warm_cells(Cells(tables, output_chars=8192))
running = 0
started, spent = time.perf_counter(), sum(os.times()[:4])
for _ in range(int(sys.argv[2])):
    if running == 2:
        os.wait()
        running -= 1
    if os.fork() == 0:
        os._exit(not cells.run(sys.argv[3])["submitted"])
    running += 1
while running:
    assert os.wait()[1] == 0
    running -= 1
sys.__stdout__.write(f"{time.perf_counter() - started} {sum(os.times()[:4]) - spent}")
"""


def bare(table: Path) -> tuple[float, float]:
    command = [sys.executable, "-P", "-c", BARE, str(table), str(EPISODES), CELL]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    seconds, spent = map(float, done.stdout.split())
    return seconds, spent


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    ours = resource.getrusage(resource.RUSAGE_SELF)
    hertz = os.sysconf("SC_CLK_TCK")
    return sum(map(int, fields[11:15])) / hertz + ours.ru_utime + ours.ru_stime


def boxed(table: Path, level: Level) -> tuple[float, float, float]:
    """Wall and processor seconds of the episodes, and wall seconds of one turn."""
    with Sandbox({"planes": table}, level=level) as box:

        def one(_: int) -> None:
            with box.episode() as episode:
                assert episode.run(CELL).submitted

        list(map(one, range(3)))
        assert isinstance(box._server, ServerProcess)
        spent, started = processor(box._server.pid), time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(one, range(EPISODES)))
        seconds = time.perf_counter() - started
        time.sleep(0.3)  # the last ones are reaped
        spent = processor(box._server.pid) - spent
        with box.episode() as episode:
            episode.run("x = 1")
            started = time.perf_counter()
            for _ in range(TURNS):
                episode.run("x += 1")
            return seconds, spent, (time.perf_counter() - started) / TURNS


def test_episodes_per_second():
    table = next(path for path in bundled_tables() if path.stem == "planes")
    names = ["bare fork", "level none", "level full"]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        found["bare fork"].append(bare(table))
        found["level none"].append(boxed(table, "none"))
        found["level full"].append(boxed(table, "full"))
    best = {
        name: [min(column) for column in zip(*rows, strict=True)] for name, rows in found.items()
    }
    base = best["bare fork"]
    print(f"\n{EPISODES} episodes of one group-by, best of {ROUNDS} rounds, {os.cpu_count()} cores")
    print("             episodes/s  ratio   processor ms/episode  ratio   ms/turn")
    for name in names:
        seconds, spent, *turn = best[name]
        turns = f"{turn[0] * 1000:>9.2f}" if turn else ""
        print(
            f"{name:12} {EPISODES / seconds:>10.0f} {base[0] / seconds:>6.2f}"
            f" {spent / EPISODES * 1000:>22.1f} {spent / base[1]:>6.2f} {turns}"
        )
