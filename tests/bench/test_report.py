"""How long `launch report` takes with 10,000 questions, in what memory, and how large the page is.

python -m pytest -m bench -s -q tests/bench/test_report.py
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.runs.run_folder import Run
from tests.launcher.report.made import make_run

QUESTIONS = (0, 100, 1000, 10_000)
TURNS = 3
REPLY = 400  # letters, about what a 3B model writes in a turn
HEARD = 600
CONTEXT = "c" * 2500  # the opening messages and the table's columns, which a report leaves out


def widened(run: Run) -> None:
    """Transcripts of several turns, of the length that a 3B model writes."""
    for path in (run.folder / "evaluation").glob("*.jsonl"):
        lines = []
        for number, line in enumerate(path.read_text("utf-8").splitlines()):
            episode = json.loads(line)
            last = episode["traces"][0]["turns"][0]
            said = f"```python\nprint(df.head({number}))\n```".ljust(REPLY, "x")
            turn = {"reply": said, "feedback": f"{number}\n".ljust(HEARD, "1")}
            episode["traces"][0]["opening"] = [{"role": "user", "content": CONTEXT}]
            episode["traces"][0]["turns"] = [turn] * (TURNS - 1) + [{**last, "reply": said}]
            lines.append(json.dumps(episode))
        path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.bench
def test_report_of_many_questions(tmp_path: Path) -> None:
    print("\nquestions  transcripts MB   page MB   CPU s   wall s   memory MiB")
    for questions in QUESTIONS:
        run = make_run(tmp_path / f"run{questions}", questions=questions)
        widened(run)
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "launcher", "report", str(run.folder)], stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        read = sum(path.stat().st_size for path in (run.folder / "evaluation").iterdir())
        size = (run.folder / "report.html").stat().st_size
        print(
            f"{questions:>9} {read / 1e6:>15.1f} {size / 1e6:>9.1f} {used.ru_utime + used.ru_stime:>7.1f}"
            f" {wall:>8.1f} {used.ru_maxrss / 1024:>12.0f}"
        )
