"""`kill -9` right before and right after every write of `datagen episodes`: nothing lost, nothing paid twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.episode import read_episodes
from datagen.tables.synthetic import synthetic_tables
from tests.datagen.verbs.test_episodes import Brain, command, requests_of
from tests.openrouter.server import KEY, OpenRouter

QUESTIONS = 1
WRITES = 3 * QUESTIONS  # of each question: its call's intent, its answer, its episode
# Ends itself at one write of the ledger or the journal, counted together.
KILLED = """
import os, sys
from datagen import cli
from datagen.episodes import journal
from datagen.models.paid_api import ledger
at, when, written = int(sys.argv[1]), sys.argv[2], 0

def deadly(write):
    def one(*given):
        global written
        written += 1
        if written == at and when == "before":
            os.kill(os.getpid(), 9)
        write(*given)
        if written == at:
            os.kill(os.getpid(), 9)
    return one

ledger._Writer._put = deadly(ledger._Writer._put)
journal.Journal.append = deadly(journal.Journal.append)
sys.exit(cli.main(sys.argv[3:]))
"""


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("SFT_DATAGEN_OPENROUTER", "yes")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (table,) = synthetic_tables(tmp_path, count=1, seed=3)
    file = tmp_path / "questions.jsonl"
    flags = ["--families", "basic", "--per-table", str(QUESTIONS)]
    assert main(["questions", str(table), "--out", str(file), *flags]) == 0
    return file


def outcomes(folder: Path) -> Counter[str]:
    """The stages of the ledger's whole lines, and the episodes of the journal."""
    names = ["calls.jsonl", "episodes.journal.jsonl"]
    ledger, journal = (
        (folder / name).read_bytes().splitlines() if (folder / name).exists() else []
        for name in names
    )
    stages = Counter(json.loads(line)["stage"] for line in ledger)
    return stages + Counter(episodes=len(journal))


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_write(questions: Path, tmp_path: Path, when: str):
    with OpenRouter(brain=Brain(questions)) as fake:
        for at in range(1, WRITES + 1):
            fake.requests.clear()
            out = tmp_path / f"{at}"
            asked = ["--questions", str(questions), "--concurrency", "1"]
            arguments = command(fake, out, *asked)
            done = subprocess.run(
                [sys.executable, "-c", KILLED, str(at), when, *arguments],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
                capture_output=True,
                check=False,
                text=True,
            )
            assert done.returncode == -signal.SIGKILL, done.stderr
            kept = outcomes(out)
            assert sum(kept.values()) == at - (when == "before")
            paid = len(fake.requests)
            assert main(arguments) == 0
            assert len({e.id for e in read_episodes(out / "episodes.jsonl")}) == QUESTIONS
            assert len(fake.requests) - paid == QUESTIONS - kept["answered"]
            assert max(requests_of(fake).values()) <= 1 + (paid > kept["answered"])
