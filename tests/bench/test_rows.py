"""Reading 100,000 rows: rows per second against json.loads alone, and peak memory."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.contract.rows import read_rows

pytestmark = pytest.mark.bench
ROWS = 100_000
PEAK = """
import json, resource, sys
from pathlib import Path
kind, path = sys.argv[1], Path(sys.argv[2])
if kind == "rows":
    from trainer.contract.rows import read_rows
    kept = read_rows(path)
else:
    kept = [json.loads(line) for line in path.open("rb")]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_megabytes(kind: str, path: Path) -> float:
    command = [sys.executable, "-c", PEAK, kind, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def test_reading_rows(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(ROWS):
            messages = [
                {"role": "system", "content": "Use pandas, then submit(answer)."},
                {"role": "user", "content": f"table {n}\n" + "column text\n" * 20 + "What is it?"},
                {"role": "assistant", "content": f"```python\nsubmit({n})\n```", "weight": 1},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    started = time.perf_counter()
    with path.open("rb") as file:
        parsed = [json.loads(line) for line in file]
    baseline = time.perf_counter() - started
    del parsed
    started = time.perf_counter()
    rows = read_rows(path)
    ours = time.perf_counter() - started
    assert len(rows.rows) == ROWS
    size = path.stat().st_size / 2**20
    print(f"\n{ROWS:,} rows, {size:.0f} MiB        rows/s    peak MiB")
    print(
        f"json.loads alone          {ROWS / baseline:>9,.0f}  {peak_megabytes('json', path):>9.0f}"
    )
    print(f"read_rows (checked)       {ROWS / ours:>9,.0f}  {peak_megabytes('rows', path):>9.0f}")
    print(f"time, as a ratio          {ours / baseline:>9.2f}")
