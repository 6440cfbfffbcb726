"""`launch --help`: wall time against a bare interpreter."""

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.bench
RUNS = 9


def seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def test_help():
    help_, bare = [], []
    for _ in range(RUNS):
        help_.append(seconds(sys.executable, "-m", "launcher", "--help"))
        bare.append(seconds(sys.executable, "-c", "pass"))
    ours, python = statistics.median(help_), statistics.median(bare)
    print(f"\nmedian of {RUNS}              seconds")
    print(f"python -c pass           {python:.3f}")
    print(f"launch --help            {ours:.3f}")
    print(f"ratio                    {ours / python:.1f}")
