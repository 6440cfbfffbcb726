"""How long a report of 2,000 questions takes, and how large it is; against the same without transcripts.

python -m pytest -m bench -s -q tests/bench/test_report.py
"""

import json
import time
from pathlib import Path

import pytest

from launcher import report
from launcher.report.facts import collect
from launcher.report.figures import figures
from launcher.report.render import render
from launcher.runs import Run
from tests.launcher.report.made import make_run

QUESTIONS = 2000
TURNS = 3
REPLY = 400  # letters, about what a 3B model writes in a turn
HEARD = 600


def widened(run: Run) -> None:
    """Transcripts of several turns, of the length that a 3B model writes."""
    for path in (run.folder / "evaluation").glob("*.jsonl"):
        lines = []
        for number, line in enumerate(path.read_text("utf-8").splitlines()):
            episode = json.loads(line)
            last = episode["traces"][0]["turns"][0]
            said = f"```python\nprint(df.head({number}))\n```".ljust(REPLY, "x")
            turn = {"reply": said, "feedback": f"{number}\n".ljust(HEARD, "1")}
            episode["traces"][0]["turns"] = [turn] * (TURNS - 1) + [{**last, "reply": said}]
            lines.append(json.dumps(episode))
        path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.bench
def test_report_of_many_questions(tmp_path: Path) -> None:
    rows = []
    for questions in (0, QUESTIONS // 10, QUESTIONS):
        run = make_run(tmp_path / f"run{questions}", questions=questions)
        widened(run)
        begun = time.perf_counter()
        facts = collect(run)
        read = time.perf_counter()
        text = render(facts)
        drawn = time.perf_counter()
        figures(facts).model_dump_json()
        rows.append(
            (questions, read - begun, drawn - read, time.perf_counter() - drawn, len(text.encode()))
        )
        assert report.write(run).stat().st_size == rows[-1][-1]
    print("\nquestions   read s   page s   json s      MB   of it transcripts MB")
    for questions, read_s, page_s, json_s, size in rows:
        more = (size - rows[0][-1]) / 1e6
        print(
            f"{questions:>9} {read_s:>8.2f} {page_s:>8.2f} {json_s:>8.2f} {size / 1e6:>7.1f} {more:>8.1f}"
        )
