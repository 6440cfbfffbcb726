"""The end of the demo: what base and adapter answered, what it took, and what to do next."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import report
from trainer.contract.event_text import clock
from trainer.contract.job import Job

WIDTH = 80
DIFFICULTIES = ("easy", "medium", "hard", "very hard")
CATEGORIES = {"no submit": "gave no answer", "crash": "ended in an error", "wrong": "were wrong"}
BUNDLED = ("the bundled base answers in SQL: most of the difference is a learned answer form",)


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds: of everything, and of the evaluation."""

    total: float
    evaluation: float


def lines(folder: Path, comparison: Mapping[str, Any], job: Job, took: Took) -> list[str]:
    """The summary: at most 24 lines of at most 80 columns, where the folder's path is short."""
    model, tables = Path(job.model).name, len(comparison["tables"])
    groups = comparison["difficulties"]
    p = f"exact McNemar p = {comparison['mcnemar_p']:.1g}"
    evaluation = folder / "evaluation"
    return [
        *_wrapped(f"{model}, {comparison['n']} questions about {tables} tables not trained on"),
        f"{'right answers':16}{'n':>5}{'base':>9}{'adapter':>9}",
        *(_row(name, groups[name]) for name in DIFFICULTIES if name in groups),
        _row("all", comparison),
        *_wrapped(f"{comparison['verdict']} ({p})"),
        *(BUNDLED if job.model.startswith("bundled:") else ()),
        f"base: {_ends(evaluation / 'base.jsonl')}",
        f"adapter: {_ends(evaluation / 'adapter.jsonl')}",
        f"took {clock(took.total)}, of it {clock(took.evaluation)} for the evaluation",
        f"adapter   {folder / 'adapter'}",
        f"data      {folder / 'data'}",
        f"open      {folder / report.NAME}",
        f"try next  launch chat {folder}",
    ]


def _row(name: str, row: Mapping[str, Any]) -> str:
    return f"{name:16}{row['n']:>5}{row['base']:>9.2f}{row['adapter']:>9.2f}"


def _ends(transcript: Path) -> str:
    """How the answers of one model ended, counted."""
    lines = transcript.read_text("utf-8").splitlines()
    verdicts = [json.loads(line)["verdict"] for line in lines]
    ends = Counter(v["category"] for v in verdicts if not v["verified"])
    right = len(verdicts) - ends.total()
    rest = [f"{ends[kind]} {words}" for kind, words in CATEGORIES.items() if ends[kind]]
    return ", ".join([f"{right} right", *rest])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)
