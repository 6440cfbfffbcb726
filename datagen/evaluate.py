"""Base against adapter on the questions of held-out episodes: comparison.json and a row per question."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.comparison import compared
from datagen.episode import Episode
from datagen.generate import Task, attempt_all
from datagen.results import FOLDER, write_whole
from datagen.tables import profile_table
from trainer.contract.errors import BadData

if TYPE_CHECKING:
    from datagen.models import Model


def tasks_of(episodes: Sequence[Episode], folder: Path) -> list[Task]:
    """The distinct questions of an episode file in `folder`, with their tables checked by hash.

    A question without known truth is asked where its episode was verified: the accepted answer is its
    truth then. Each is asked with the style of prompt that its episode was made with.
    Raises BadData when a table is missing or is not the one the questions are about.
    """
    hashes: dict[Path, str] = {}
    tasks: dict[str, Task] = {}
    for episode in episodes:
        if not (episode.question.known or episode.verdict.verified):
            continue
        paths = [(folder / table.path).resolve() for table in episode.tables]
        for table, path in zip(episode.tables, paths, strict=True):
            if path not in hashes:
                hashes[path] = profile_table(path).sha256
            if hashes[path] != table.sha256:
                raise BadData(
                    f"{path}: has changed since its questions were made", "make the episodes again"
                )
        tasks.setdefault(
            episode.question.id,
            Task(
                question=episode.question.model_copy(update={"known": True}),
                tables=episode.tables,
                paths=paths,
                style=episode.provenance.prompt,
            ),
        )
    return [*tasks.values()]


def sample(tasks: Sequence[Task], limit: int, *, seed: int) -> list[Task]:
    """At most `limit` of the tasks, drawn by the seed and left in their order."""
    if len(tasks) <= limit:
        return [*tasks]
    kept = sorted(random.Random(seed).sample(range(len(tasks)), limit))
    return [tasks[at] for at in kept]


def evaluate(
    tasks: Sequence[Task],
    *,
    base: Model,
    adapter: Model,
    output: Path,
    seed: int,
    watch: Callable[[str, int], AbstractContextManager[Callable[[Episode], None]]],
) -> dict[str, Any]:
    """Ask both models every question, write `output`/comparison.json and return its content.

    Beside it `evaluation/` holds questions.jsonl, a row per question, and the transcripts
    base.jsonl and adapter.jsonl; an interrupted evaluation takes those up again. `watch` is entered
    with a model's label and the number of questions, and yields what is told of each episode.
    """
    folder = output / FOLDER
    answers: dict[str, list[Episode]] = {}
    for label, model in (("base", base), ("adapter", adapter)):
        with watch(label, len(tasks)) as done:
            answers[label] = attempt_all(
                tasks, model, seed=seed, journal=folder / f"{label}.jsonl", done=done
            )
    rows = [
        _row(task, b, a)
        for task, b, a in zip(tasks, answers["base"], answers["adapter"], strict=True)
    ]
    write_whole(folder / "questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    comparison = compared(answers["base"], answers["adapter"])
    write_whole(output / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    return comparison


def _row(task: Task, base: Episode, adapter: Episode) -> dict[str, Any]:
    question = task.question
    return {
        "id": question.id,
        "table": task.tables[0].name,
        "family": question.family,
        "difficulty": question.difficulty,
        "question": question.text,
        "truth": question.truth,
        "base_answer": base.traces[-1].answer,
        "base_correct": base.verdict.verified,
        "base_rule": base.verdict.rule,
        "adapter_answer": adapter.traces[-1].answer,
        "adapter_correct": adapter.verdict.verified,
        "adapter_rule": adapter.verdict.rule,
    }
