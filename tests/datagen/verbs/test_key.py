"""The teacher's key as a canary: in a header, and in nothing that `datagen` starts, says or leaves."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.tables.synthetic import synthetic_tables
from tests.datagen.verbs.test_episodes import Brain, command
from tests.openrouter.mishaps import Mishap
from tests.openrouter.server import OpenRouter
from trainer.contract.command.errors import TeacherRefused

CANARY = "sk-or-v1-CANARY0123456789"
QUESTIONS = 6


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    (table,) = synthetic_tables(tmp_path, count=1, seed=3)
    file = tmp_path / "questions.jsonl"
    asked = ["--families", "basic", "--per-table", str(QUESTIONS)]
    assert main(["questions", str(table), "--out", str(file), *asked]) == 0
    return file


@pytest.fixture
def fake(questions: Path):
    with OpenRouter(brain=Brain(questions), latency=0.5) as server:
        server.key = CANARY
        yield server


def started(parent: int) -> set[int]:
    """All that a process has started, and all that they have."""
    found, known = set(), {parent}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, above = (
                int(status.parent.name),
                int(status.read_text().rpartition(")")[2].split()[1]),
            )
        except OSError:
            continue
        if above in known:
            known.add(pid)
            found.add(pid)
    return found


@pytest.mark.parametrize("ends", ["well", "refused"])
def test_the_key_is_in_nothing_that_is_started_said_or_left(questions, fake, tmp_path, ends):
    if ends == "refused":
        fake.script.add([Mishap("status", status=401, message=f"no such key: {CANARY}")])
    arguments = command(fake, tmp_path / "out", "--questions", str(questions), "--concurrency", "1")
    variables = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "HOME": str(tmp_path),
        "OPENROUTER_API_KEY": CANARY,
        "SFT_DATAGEN_OPENROUTER": "yes",
    }
    said = tmp_path / "said.txt"
    with said.open("wb") as file:
        work = subprocess.Popen(
            [sys.executable, "-m", "datagen", *arguments],
            cwd=tmp_path,
            env=variables,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    seen = set()
    while work.poll() is None:
        for pid in started(work.pid):
            try:
                shown = [
                    Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")
                ]
            except OSError:
                continue
            if shown[0]:
                seen.add(pid)
                assert CANARY.encode() not in b"".join(shown)
        time.sleep(0.05)
    assert work.returncode == (0 if ends == "well" else TeacherRefused.exit_code), said.read_text()
    assert seen or ends == "refused"
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert said in kept
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
