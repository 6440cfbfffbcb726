"""Reading and rendering 100,000 rows: rows per second against json.loads alone, and peak memory."""

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
import json, resource, sys, time
from pathlib import Path
kind, path = sys.argv[1], Path(sys.argv[2])
if kind == "rows":
    from trainer.contract.rows import read_rows
    kept = read_rows(path)
elif kind == "rendered":
    from trainer.contract.job import Job
    from trainer.contract.rows import read_rows
    from trainer.data.encode import encode_rows
    from trainer.pretrained import find, load_tokenizer
    from trainer.data.templates import freeze, learn_format
    tokenizer = load_tokenizer(find(Job(model="bundled:tiny")))
    freeze(tokenizer)
    rows, started = read_rows(path), time.perf_counter()
    chat_format = learn_format(tokenizer)
    kept = encode_rows(path, rows, chat_format, max_length=2048, overlong="error")
    print(time.perf_counter() - started)
else:
    kept = [json.loads(line) for line in path.open("rb")]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def in_a_process_of_its_own(kind: str, path: Path) -> list[float]:
    """What the script above prints for one way of reading; the last number is kilobytes."""
    command = [sys.executable, "-c", PEAK, kind, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


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
    (json_peak,), (rows_peak,) = (in_a_process_of_its_own(k, path) for k in ("json", "rows"))
    rendering, rendered_peak = in_a_process_of_its_own("rendered", path)
    print(f"\n{ROWS:,} rows, {size:.0f} MiB        rows/s    peak MiB   time as a ratio")
    print(f"json.loads alone        {ROWS / baseline:>9,.0f}  {json_peak / 1024:>9.0f}      1.00")
    for name, seconds, peak in (
        ("read_rows (checked)", ours, rows_peak),
        ("rendered, tokenised", rendering, rendered_peak),
    ):
        ratio = seconds / baseline
        print(f"{name:22}  {ROWS / seconds:>9,.0f}  {peak / 1024:>9.0f}  {ratio:>8.2f}")
