"""Killed at any write of its journals, an evaluation goes on and comes to the same."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_killed_at_every_write_it_comes_to_the_same_and_asks_nothing_twice(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.datagen.evaluation.kills", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "12 kills\n", done.stderr
