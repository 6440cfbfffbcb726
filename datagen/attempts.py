"""One question becomes one episode: as many attempts as its verdict takes, and the verdict."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from datagen.agent import solve
from datagen.answer import as_truth
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
from datagen.prompts.render import TURN_LIMIT, prompt_hash
from datagen.shape import trace_shape
from datagen.triangulate import Rule, category, decided, failure, least_more
from datagen.verify import Judgement, judge

if TYPE_CHECKING:
    from datagen.models import Model
    from datagen.sandbox import Sandbox


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question, the tables it is about (the first is `df`), and where they lie now, in that order.

    `style` is that of the prompts it is asked with.
    """

    question: Question
    tables: list[TableRef]
    paths: list[Path]
    style: PromptStyle = "brief"


@dataclass(frozen=True, kw_only=True)
class How:
    """How attempts are made and judged.

    Where the truth is known, attempts go on until `traces` different ones are right, `attempts` at
    most. Where it is not, `rule` decides. `audit` is the share of verified episodes that the second
    model solves again. `sampling` and `licence` are the model's.
    """

    seed: int
    attempts: int = 1
    traces: int = 1
    rule: Rule = "majority"
    audit: float = 0.0
    sampling: dict[str, JsonValue] = field(default_factory=dict)
    licence: str | None = None


def episode_id(task: Task, model: str, how: How) -> str:
    """The same question, tables, model, texts and rules always make the same id."""
    contents = [table.sha256 for table in task.tables]
    rules = [how.attempts, how.traces] if task.question.known else [how.rule]
    parts = [how.seed, *rules, *sorted(how.sampling.items())]
    texts = [task.style, prompt_hash(task.style)]
    return stable_id(task.question.id, *contents, model, *texts, *map(str, parts))


async def make_episode(
    task: Task, model: Model, sandbox: Sandbox, how: How, auditor: Model | None = None
) -> Episode:
    """Attempt, judge and, where it falls to the question, audit.

    Raises NoReply where a model cannot be reached for now, and the Faults of the models.
    """
    key = episode_id(task, model.name, how)

    async def ask(name: object, *, hinted: bool = False, by: Model = model) -> Trace:
        return await solve(
            by,
            task.question,
            task.tables,
            sandbox,
            session=f"{key}/{name}",
            style=task.style,
            hinted=hinted,
        )

    question = task.question
    if question.known:
        traces, verdict = await _against_truth(ask, task, how)
    else:
        question, traces, verdict = await _against_gold(ask, task, how)
    audit = None
    if auditor is not None and verdict.verified and _drawn(key, how.audit):
        trace = _judged(await ask("audit", by=auditor), question)
        audit = Audit(model=auditor.name, trace=trace, agrees=bool(trace.agrees))
    return Episode(
        id=key,
        question=question,
        tables=task.tables,
        traces=traces,
        verdict=verdict,
        provenance=_provenance(task, model.name, how, traces, sandbox.level),
        audit=audit,
    )


async def _against_truth(
    ask: Callable[[object], Awaitable[Trace]], task: Task, how: How
) -> tuple[list[Trace], Verdict]:
    traces: list[Trace] = []
    right: set[str] = set()
    agreed = 0
    while len(traces) < how.attempts and len(right) < how.traces:
        traces.append(_judged(await ask(len(traces)), task.question))
        if traces[-1].agrees:
            agreed += 1
            right.add(trace_shape(traces[-1]))
    decisive = next((trace for trace in traces if trace.agrees), traces[-1])
    rule, detail = "not submitted", ""
    if decisive.submitted:
        judged = _judgement(decisive, task.question)
        rule, detail = judged.rule, judged.detail
    else:
        detail = _silence(decisive, TURN_LIMIT[task.style])
    return traces, Verdict(
        verified=agreed > 0,
        rule=rule,
        detail=detail,
        agreed=agreed,
        attempts=len(traces),
        category=None if agreed else failure(decisive),
    )


async def _against_gold(
    ask: Callable[..., Coroutine[Any, Any, Trace]], task: Task, how: How
) -> tuple[Question, list[Trace], Verdict]:
    """The question with its accepted answer as truth, the gold attempt and the others, the verdict."""
    gold = await ask(0, hinted=True)
    question = task.question
    try:
        if not gold.submitted:
            raise ValueError(_silence(gold, TURN_LIMIT[task.style]))
        form = (question.answer_type, question.decimals, question.significant)
        truth: Any = as_truth(gold.answer, *form)
    except ValueError as error:
        detail = f"gold: {error}"
        return (
            question,
            [gold],
            Verdict(verified=False, rule=how.rule, detail=detail, category=failure(gold)),
        )
    gold = gold.model_copy(update={"agrees": True})
    answered = question.model_copy(update={"truth": truth})
    runs: list[Trace] = []
    while more := least_more([bool(run.agrees) for run in runs], how.rule):
        names = range(len(runs) + 1, len(runs) + 1 + more)
        found = await _together([ask(name) for name in names])
        runs += [_judged(trace, answered) for trace in found]
    votes = [bool(run.agrees) for run in runs]
    accepted = bool(decided(votes, how.rule))
    return (
        answered if accepted else question,
        [gold, *runs],
        Verdict(
            verified=accepted,
            rule=how.rule,
            detail="" if accepted else f"{sum(votes)} of {len(votes)} agree with gold",
            agreed=sum(votes),
            attempts=len(votes),
            category=None if accepted else category(runs, answered),
        ),
    )


async def _together(asked: list[Coroutine[Any, Any, Trace]]) -> list[Trace]:
    """The results in order; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except BaseExceptionGroup as failures:
        raise first_of(failures) from None
    return [task.result() for task in tasks]


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first failure of a task group, out of groups within groups."""
    found = failures.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found


def _judged(trace: Trace, question: Question) -> Trace:
    agrees = trace.submitted and _judgement(trace, question).correct
    return trace.model_copy(update={"agrees": agrees})


def _judgement(trace: Trace, question: Question) -> Judgement:
    form = (question.answer_type, question.decimals, question.significant)
    return judge(trace.answer, question.truth, *form)


def _silence(trace: Trace, limit: int) -> str:
    if trace.failure is not None:
        return f"no reply: {trace.failure}"
    return f"no answer in {len(trace.turns)} of {limit} turns"


def _drawn(key: str, share: float) -> bool:
    """Whether this episode is in the share that is audited: the same one in every run."""
    digest = hashlib.sha256(f"audit {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _provenance(task: Task, model: str, how: How, traces: list[Trace], level: str) -> Provenance:
    quantizations = sorted({name for trace in traces for name in trace.quantizations})
    return Provenance(
        model=model,
        prompt=task.style,
        prompt_sha256=prompt_hash(task.style),
        sandbox_level=level,
        seed=how.seed,
        versions=_versions(),
        licence=how.licence,
        sampling=how.sampling,
        quantization=", ".join(quantizations) or None,
    )


@cache
def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("pandas", "numpy")}
    return {"python": platform.python_version()} | found
