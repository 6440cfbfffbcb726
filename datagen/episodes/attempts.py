"""Make one episode from one question: as many attempts as the verdict needs, and the verdict."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from datagen.episode import (
    Audit,
    Episode,
    PromptStyle,
    Provenance,
    Question,
    TableRef,
    Trace,
    Verdict,
    stable_id,
)
from datagen.episodes.agent import solve
from datagen.episodes.solution_shape import trace_shape
from datagen.judge.agreement import RULE, fewest_more_votes
from datagen.judge.judge_attempts import (
    judge_against_gold,
    judge_against_truth,
    judge_attempt,
    with_gold_answer,
)
from datagen.prompts.render import TURN_LIMIT, prompt_hash

if TYPE_CHECKING:
    from datagen.models.protocol import Model
    from datagen.sandbox import Sandbox


BROKEN = "broken"
CONCURRENCY = 64


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question, the tables it is about (the first is `df`), and where they lie now, in that order.

    `style` is that of its prompts.
    """

    question: Question
    tables: list[TableRef]
    paths: list[Path]
    style: PromptStyle = "brief"


@dataclass(frozen=True, kw_only=True)
class AttemptRules:
    """How attempts are made and judged.

    Where the truth is known, attempts go on until `traces` different ones are right, `attempts` at
    most. `audit` is the share of verified episodes that the second
    model solves again. `turns` an attempt may take, the prompt's own number else. `sampling` and
    `licence` are the model's.
    """

    seed: int
    attempts: int = 1
    traces: int = 1
    audit: float = 0.0
    turns: int | None = None
    sampling: dict[str, JsonValue] = field(default_factory=dict)
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Solver:
    """The model that answers questions, by which rules, how many questions at once, and the model that audits.

    `model` can be called inside of `connected`.
    """

    model: Model
    rules: AttemptRules
    auditor: Model | None = None
    concurrency: int = CONCURRENCY
    connected: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


def episode_id(task: Task, solver: Solver) -> str:
    """The same question, tables, model, texts and rules always make the same id."""
    rules = solver.rules
    contents = [table.sha256 for table in task.tables]
    needed = [rules.attempts, rules.traces] if task.question.known else [RULE]
    turns = [f"turns {rules.turns}"] if rules.turns else []
    parts = [rules.seed, *needed, *turns, *sorted(rules.sampling.items())]
    texts = [task.style, prompt_hash(task.style)]
    return stable_id(task.question.id, *contents, solver.model.name, *texts, *map(str, parts))


async def make_episode(task: Task, solver: Solver, sandbox: Sandbox) -> Episode:
    """Attempt, judge and, where it falls to the question, audit.

    Raises NoReply where a model cannot be reached for now, and the Faults of the models.
    """
    key, rules, auditor = episode_id(task, solver), solver.rules, solver.auditor

    async def ask(name: object, *, hinted: bool = False, by: Model = solver.model) -> Trace:
        session = f"{key}/{name}"
        return await solve(
            task, by, sandbox, session=session, hinted=hinted, turn_limit=rules.turns
        )

    question, limit = task.question, rules.turns or TURN_LIMIT[task.style]
    if question.known:
        made = await _attempt_until_right(ask, question, rules)
        traces, verdict = judge_against_truth(question, made, limit=limit)
    else:
        made = await _attempt_until_decided(ask, question, limit)
        question, traces, verdict = judge_against_gold(question, made, limit=limit)
    audit = None
    if auditor is not None and verdict.verified and _is_audited(key, rules.audit):
        trace = judge_attempt(await ask("audit", by=auditor), question)
        audit = Audit(model=auditor.name, trace=trace, agrees=bool(trace.agrees))
    return Episode(
        id=key,
        question=question,
        tables=task.tables,
        traces=traces,
        verdict=verdict,
        provenance=_provenance(task, solver, traces, sandbox.level),
        audit=audit,
    )


def broken_episode(task: Task, solver: Solver, error: Exception) -> Episode:
    """Return a failed episode for a question that an unexpected error ended."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    trace = Trace(opening=[], turns=[], agrees=False, failure=what)
    return Episode(
        id=episode_id(task, solver),
        question=task.question,
        tables=task.tables,
        traces=[trace],
        verdict=Verdict(verified=False, rule=BROKEN, detail=what, attempts=1, category="crash"),
        provenance=_provenance(task, solver, [trace], "not known"),
    )


async def _attempt_until_right(
    ask: Callable[[object], Awaitable[Trace]], question: Question, rules: AttemptRules
) -> list[Trace]:
    """Make attempts until enough different ones are right; one where the API refuses the question itself."""
    traces: list[Trace] = []
    right: set[str] = set()
    while len(traces) < rules.attempts and len(right) < rules.traces:
        traces.append(judge_attempt(await ask(len(traces)), question))
        if traces[-1].agrees:
            right.add(trace_shape(traces[-1]))
        elif traces[-1].refused:
            break
    return traces


async def _attempt_until_decided(
    ask: Callable[..., Coroutine[Any, Any, Trace]], question: Question, limit: int
) -> list[Trace]:
    """The gold attempt, then the others in waves, until they decide; none where gold has no answer."""
    gold = await ask(0, hinted=True)
    try:
        answered = with_gold_answer(question, gold, limit)
    except ValueError:
        return [gold]
    runs: list[Trace] = []
    while more := fewest_more_votes([bool(run.agrees) for run in runs]):
        names = range(len(runs) + 1, len(runs) + 1 + more)
        found = await _gather([ask(name) for name in names])
        runs += [judge_attempt(trace, answered) for trace in found]
    return [gold, *runs]


async def _gather(asked: list[Coroutine[Any, Any, Trace]]) -> list[Trace]:
    """The results in order; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    return [task.result() for task in tasks]


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a task group, out of groups within groups."""
    found = failures.exceptions[0]
    return first_failure(found) if isinstance(found, BaseExceptionGroup) else found


def _is_audited(key: str, share: float) -> bool:
    """Whether this episode is in the share that is audited: the same one in every run."""
    digest = hashlib.sha256(f"audit {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _provenance(task: Task, solver: Solver, traces: list[Trace], level: str) -> Provenance:
    quantizations = sorted({name for trace in traces for name in trace.quantizations})
    return Provenance(
        model=solver.model.name,
        prompt=task.style,
        prompt_sha256=prompt_hash(task.style),
        sandbox_level=level,
        seed=solver.rules.seed,
        versions=_versions(),
        licence=solver.rules.licence,
        sampling=solver.rules.sampling,
        quantization=", ".join(quantizations) or None,
    )


@cache
def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("pandas", "numpy")}
    return {"python": platform.python_version()} | found
