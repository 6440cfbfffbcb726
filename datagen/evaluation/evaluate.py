"""Models on the questions of held-out episodes: transcripts, a row per question, and what it comes to."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.episode import Episode
from datagen.episodes.attempts import CONCURRENCY, AttemptRules, Solver, Task
from datagen.episodes.run_questions import AnswerProgress, attempt_all
from datagen.evaluation.saved_results import FOLDER
from datagen.evaluation.score import MODEL, PROBES, score_answers
from datagen.evaluation.token_limit import TokenMeter
from datagen.judge.truth_form import as_truth
from trainer.contract import episodes as border
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import BadData

if TYPE_CHECKING:
    from datagen.models.protocol import Model


Watch = Callable[[str, int], AbstractContextManager[AnswerProgress]]


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model under a label: base, adapter, model or ceiling. `connected` holds what it needs.

    `activity` returns what it is doing.
    """

    label: str
    model: Model
    sampling: dict[str, Any] = field(default_factory=dict)
    concurrency: int = CONCURRENCY
    connected: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    activity: Callable[[], str] = str


@dataclass(frozen=True, kw_only=True)
class EvaluationLimits:
    """`seeds` tries at each question, the first with `seed`; `minutes` for everything together.

    `tokens` read and written: for everything together too, and for what was answered before.
    """

    seed: int = 0
    seeds: int = 1
    turns: int | None = None
    minutes: float | None = None
    tokens: int | None = None


def tasks_of(episodes: Sequence[Episode], path: Path) -> list[Task]:
    """The distinct questions of the episode file at `path`, with their tables checked by hash.

    A question without known truth is included if its episode was verified: the accepted answer is its
    truth then. Each has the style of prompt that its episode was made with.
    Raises BadData naming each table that is missing or is not the one the questions are about, and
    each truth that is not of its question's form.
    """
    border.check(path)
    tasks: dict[str, Task] = {}
    faults = []
    for episode in episodes:
        question = episode.question
        if not (question.known or episode.verdict.verified):
            continue
        try:
            truth: Any = as_truth(question.truth, *question.form)
        except ValueError as error:
            faults.append(f"{path}: question {question.id}: invalid truth: {error}")
            continue
        tasks.setdefault(
            question.id,
            Task(
                question=question.model_copy(update={"known": True, "truth": truth}),
                tables=episode.tables,
                paths=[(path.parent / table.path).resolve() for table in episode.tables],
                style=episode.provenance.prompt,
            ),
        )
    if faults:
        raise BadData(f"{path}: its questions cannot be used", border.HINT, faults=faults)
    if not tasks:
        raise BadData(
            f"{path}: no question has a known or verified answer",
            "make more with: datagen episodes",
        )
    return [*tasks.values()]


def draw_tasks(tasks: Sequence[Task], limit: int, *, seed: int) -> list[Task]:
    """At most `limit` of the tasks, drawn by the seed and left in their order."""
    if len(tasks) <= limit:
        return [*tasks]
    kept = sorted(random.Random(seed).sample(range(len(tasks)), limit))
    return [tasks[at] for at in kept]


def evaluate(
    tasks: Sequence[Task],
    models: Sequence[EvaluatedModel],
    *,
    output: Path,
    watch: Watch,
    limits: EvaluationLimits = EvaluationLimits(),
    probes: Mapping[str, Sequence[Task]] | None = None,
) -> dict[str, Any]:
    """Ask every model every question; write and return the outcome (see `score.score_answers`).

    Beside it `evaluation/` holds the transcript of each model, `LABEL.jsonl`, that of each probe
    (`floor-LABEL.jsonl`), and questions.jsonl; an interrupted evaluation takes those up again.
    `probes` are the same questions made harder, by the names of `score.PROBES`; the ceiling does
    not answer them. `watch` is entered with a label and the number of answers, and yields what receives
    each. Raises BadData where the minutes were too few for one question, BudgetSpent where the tokens
    were too few for all of them, and what models raise.
    """
    folder = (output / FOLDER).resolve()
    columns = [(one.label, one, tasks) for one in models]
    for name in PROBES:
        asked = (probes or {}).get(name, ())
        columns += [(f"{name}-{m.label}", m, asked) for m in models if m.label != "ceiling"]
    columns = [column for column in columns if column[2]]
    end = None if limits.minutes is None else time.monotonic() + 60 * limits.minutes
    answers: dict[str, list[Episode]] = {}
    evaluation = _Evaluation(folder, limits, TokenMeter(limits.tokens), watch)
    for left, (label, model, asked) in zip(range(len(columns), 0, -1), columns, strict=True):
        now = time.monotonic()
        until = None if end is None else now + (end - now) / left
        answers[label] = evaluation.ask(label, model, asked, until)
        evaluation.meter.refuse(label, missing=len(asked) * limits.seeds - len(answers[label]))
    if not all(answers[one.label] for one in models):
        raise BadData(
            f"time limit of {limits.minutes:g} minutes reached before every model answered a question",
            "run the same command with a higher --max-minutes: answers so far are kept",
        )
    found = score_answers(answers, questions=len(tasks))
    if MODEL not in answers:
        rows = _rows(answers["base"], answers["adapter"])
        write_whole(folder / "questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    name = "result.json" if MODEL in answers else border.COMPARISON
    write_whole(output / name, json.dumps(found, indent=2) + "\n")
    return found


@dataclass(frozen=True)
class _Evaluation:
    """What all models share: the folder of the transcripts, the limits, the display."""

    folder: Path
    limits: EvaluationLimits
    meter: TokenMeter
    watch: Watch

    def ask(
        self, label: str, evaluated: EvaluatedModel, tasks: Sequence[Task], until: float | None
    ) -> list[Episode]:
        """The answers of one model; none is begun after `until`, or once the tokens are used up."""
        limits = self.limits
        rules = AttemptRules(seed=limits.seed, turns=limits.turns, sampling=evaluated.sampling)
        with self.watch(label, len(tasks) * limits.seeds) as shown:
            return attempt_all(
                [_with_tables_from(self.folder, task) for task in tasks],
                Solver(
                    model=evaluated.model,
                    rules=rules,
                    concurrency=evaluated.concurrency,
                    connected=evaluated.connected,
                ),
                journal=self.folder / f"{label}.jsonl",
                seeds=limits.seeds,
                progress=_Metered(shown, self.meter),
                may_begin=lambda: (
                    not self.meter.empty and (until is None or time.monotonic() < until)
                ),
            )


@dataclass(frozen=True)
class _Metered:
    """Counts the tokens of each answer before the display gets it."""

    shown: AnswerProgress
    meter: TokenMeter

    def __call__(self, episode: Episode) -> None:
        self.meter.add(episode)
        self.shown(episode)

    def found(self, episode: Episode) -> None:
        self.meter.add(episode)
        self.shown.found(episode)


def _with_tables_from(folder: Path, task: Task) -> Task:
    """The task for a transcript in `folder`: its tables' paths are relative to that."""
    tables = [
        table.model_copy(update={"path": os.path.relpath(path, folder)})
        for table, path in zip(task.tables, task.paths, strict=True)
    ]
    return replace(task, tables=tables)


def _rows(bases: Sequence[Episode], adapters: Sequence[Episode]) -> list[dict[str, Any]]:
    """A row for each question that both answered, from the first try."""
    theirs = {episode.question.id: episode for episode in reversed(adapters)}
    ours = {episode.question.id: episode for episode in reversed(bases)}
    return [_row(ours[key], theirs[key]) for key in reversed(ours) if key in theirs]


def _row(base: Episode, adapter: Episode) -> dict[str, Any]:
    question = base.question
    return {
        "id": question.id,
        "table": base.tables[0].name,
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
