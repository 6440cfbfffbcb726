"""The state of a run, from its journal, its events and its locks."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from launcher.errors import BrokenJournal
from launcher.runs.rented_pods import RentedPod
from launcher.runs.run_folder import Log, Run, is_locked
from launcher.runs.run_state import RunState, read
from launcher.view.columns import shortened
from launcher.world import World, fault_kind
from trainer.contract import events, resuming
from trainer.contract.command.errors import (
    Fault,
    Interrupted,
    NoSpace,
    NotInstalled,
    ProcessLost,
    TrainingFailed,
)

TAIL = 16 * 1024
LONGEST_REASON = 300  # letters; the rest is in `launch logs`
PAST = "waiting"
UNREADABLE = "unreadable"
# What may work another time with the same job and data, once its cause is gone.
RESUMABLE = {NoSpace, NotInstalled, ProcessLost, TrainingFailed}


def resume_hint(run: Run, settings: Sequence[str] = ()) -> str:
    """The command that resumes ``run``, or starts it again where ``settings`` need that."""
    again = "" if resuming.may_change(settings) else " --overwrite"
    return f"launch train --resume {run.id}{again}{resuming.as_flags(settings)}"


@contextmanager
def with_pod_facts(run: Run, log: Log, world: World) -> Iterator[None]:
    """Inside, a fault also reports the pod that still exists: until when, at what cost, where the adapter is."""
    try:
        yield
    except Fault as fault:
        if (pod := log.state.living) is not None:
            fault.faults += pod_facts(run, pod, log.state.spent(world.now()))
        raise


def pod_facts(run: Run, pod: RentedPod, spent: float) -> tuple[str, ...]:
    states = {"stopped": "is stopped, its disk is billed", "failed": "is in state ERROR and billed"}
    adapter = "is in" if run.manifest.exists() else "is not yet in"
    until = f"{datetime.fromtimestamp(pod.gone_by).astimezone():%d %b %H:%M %Z}"
    return (
        f"pod {pod.id or pod.name} {states.get(pod.seen, 'exists and is billed')}, until {until} at the latest",
        f"${spent:.2f} so far, quoted at most ${pod.most:.2f}; the adapter {adapter} {run.adapter}",
        f"download and delete with: launch fetch {run.id}; delete at once with: launch stop {run.id} --now",
    )


def fault_of(
    run: Run,
    seen: Sequence[events.Event],
    *,
    exit_code: int | None,
    lost: str | None = None,
    stopped: bool = False,
) -> Fault | None:
    """The reason why an ended attempt has no result; ``None`` when it has one.

    ``seen`` are the events of this attempt, ``exit_code`` is None when no launcher saw the trainer end,
    ``lost`` is then why it ended, "because ...", if known; ``stopped``: a stop was requested.
    """
    for event in reversed(seen):
        if isinstance(event, events.Done):
            return None
        if isinstance(event, events.Failed):
            return _told(run, event, seen)
    if stopped:
        return _interrupted(run, seen)
    how = lost or "without a message"
    settings: list[str] = []
    if exit_code is not None and exit_code < 0:
        how = f"by {signal.Signals(-exit_code).name}"
        if exit_code == -signal.SIGKILL:
            how += " (out of memory, or kill -9)"
            plans = [event for event in seen if isinstance(event, events.Plan)]
            settings = [f"plan.tokens={max(plan.pass_tokens // 2, 1)}" for plan in plans[-1:]]
    elif exit_code is not None:
        how = f"with exit code {exit_code}"
    return TrainingFailed(
        f"the trainer ended {how}",
        f"continue from the last checkpoint with: {resume_hint(run, settings)}",
        faults=[f"end of {run.log}:", *(f"  {text}" for text in run.log_tail)],
    )


def _told(run: Run, event: events.Failed, seen: Sequence[events.Event]) -> Fault:
    if event.exit_code == Interrupted.exit_code:
        return _interrupted(run, seen)
    kind = fault_kind(event.exit_code)
    hint = event.hint
    state = read(run.journal)
    if kind is NoSpace and state.pod is not None:
        # The pod is gone: freeing space in it is impossible.
        mount = state.summary["settings"]["mount"]
        hint = f"rent a larger disk: {resume_hint(run)} --mount {2 * mount}"
    elif event.settings is not None or kind in RESUMABLE:
        settings = event.settings or []
        then = "then continue with" if resuming.may_change(settings) else "start it again with"
        hint = f"{hint}{hint and '; '}{then}: {resume_hint(run, settings)}"
    return kind(event.cause, hint)


def failure(run: Run, state: RunState) -> Fault | None:
    """The fault that the newest attempt reported, even if a result was saved after it."""
    seen, _ = events.read(run.events, state.offset or 0)
    failed = [event for event in seen if isinstance(event, events.Failed)]
    return _told(run, failed[-1], seen) if failed else None


def _interrupted(run: Run, seen: Sequence[events.Event]) -> Interrupted:
    saved = [event.step for event in seen if isinstance(event, events.Checkpoint)]
    what = f"checkpoint saved at step {saved[-1]}" if saved else "no new checkpoint"
    return Interrupted(
        f"interrupted, {what}; nothing keeps running", f"resume with: {resume_hint(run)}"
    )


@dataclass(frozen=True)
class Status:
    """One line of ``launch ps``.

    ``state``: running, finished, failed, interrupted (can be resumed), dead (its trainer vanished
    and no launcher noted why), new (never started), stopped or pod failed (its pod is), waiting (its pod is
    past its deadline), unreadable (its journal is). Times are unix seconds, ``loss`` is per token.
    """

    id: str
    state: str
    step: int | None
    steps: int | None
    loss: float | None
    where: str | None
    model: str | None
    created: float | None
    reason: str
    folder: str
    pod: str | None = None
    gpu: str | None = None
    cost: float | None = None
    gone_by: float | None = None

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def newest_first(path: Path, start: int = 0) -> Iterator[events.Event]:
    """The events from byte ``start`` on, the newest first, read from the end: a long run wrote megabytes.

    Invalid lines are skipped; a missing file has no events.
    """
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        end = file.seek(0, os.SEEK_END)
        rest = b""
        while end > start:
            begun = max(start, end - TAIL)
            file.seek(begun)
            rest, *lines = (file.read(end - begun) + rest).split(b"\n")
            end = begun
            if begun == start:
                lines.insert(0, rest)
            yield from filter(None, map(events.parse, reversed(lines)))


def last_step(path: Path) -> events.Step | None:
    """The newest step in an events file."""
    return next((one for one in newest_first(path) if isinstance(one, events.Step)), None)


def seen(run: Run, *, now: float | None = None) -> Status:
    """``look``, where a journal that cannot be read is a state among others."""
    try:
        return look(run, now=now)
    except BrokenJournal as fault:
        return Status(
            id=run.id,
            state=UNREADABLE,
            step=None,
            steps=None,
            loss=None,
            where=None,
            model=None,
            created=None,
            reason=str(fault),
            folder=str(run.folder),
        )


def look(run: Run, *, now: float | None = None) -> Status:
    """Read a run's state from its folder; takes no lock and changes nothing. Raises ``BrokenJournal``.

    ``now`` is for what a rented pod has cost; without it the time of the last entry counts.
    """
    said = read(run.journal)
    facts, pod, kept = said.summary, said.pod, said.living
    now = now or said.time
    step = last_step(run.events)
    state, reason = str(facts["state"]), str(facts.get("cause", ""))
    if is_locked(run.trainer_lock):
        state, reason = "running", ""
    elif kept is not None:
        state, reason = _on_pod(run, kept, now)
    elif state == "started":
        state, reason = _unnoted(run, said)
    return Status(
        id=run.id,
        state=state,
        step=step.step if step else None,
        steps=step.steps if step else None,
        loss=step.loss if step else None,
        where=facts.get("where"),
        model=facts.get("model"),
        created=facts.get("created"),
        reason=_line(reason),
        folder=str(run.folder),
        pod=kept.id if kept else None,
        gpu=pod.gpu if pod else None,
        cost=round(said.spent(now), 4) if pod else None,
        gone_by=kept.gone_by if kept else None,
    )


def _line(reason: str) -> str:
    """The first line of a reason, which may list faults below it."""
    first = next(iter(reason.splitlines()), "")
    return first if len(first) <= LONGEST_REASON else f"{first[:LONGEST_REASON]}..."


def _on_pod(run: Run, pod: RentedPod, now: float) -> tuple[str, str]:
    """State and reason of a run whose pod was not released."""
    if pod.seen == "stopped":
        return "stopped", f"its results are on its disk; download them with: launch fetch {run.id}"
    if pod.seen == "failed":
        return "pod failed", (
            f"in state ERROR and billed: launch fetch {run.id}, or launch stop {run.id} --now"
        )
    if now > pod.gone_by:
        return PAST, f"past its deadline; download its result with: launch fetch {run.id}"
    if not pod.has_job:
        return "starting", "" if is_locked(run.lock) else f"continue with: launch attach {run.id}"
    return "running", "" if is_locked(run.lock) else f"follow it with: launch attach {run.id}"


def _unnoted(run: Run, state: RunState) -> tuple[str, str]:
    """State and reason of an attempt whose end no launcher saw."""
    attempt: list[events.Event] = []
    for event in newest_first(run.events, state.offset or 0):
        attempt.append(event)
        if isinstance(event, events.Done | events.Checkpoint):
            break
    attempt.reverse()
    fault = fault_of(run, attempt, exit_code=None)
    if fault is None:
        return "finished", ""
    if isinstance(fault, Interrupted):
        return "interrupted", fault.cause
    if any(isinstance(event, events.Failed) for event in attempt):
        return "failed", fault.cause
    return "dead", f"its trainer no longer runs; continue with: {resume_hint(run)}"


def ps_lines(found: Sequence[Status]) -> list[str]:
    """Write ``launch ps``: a line per run, newest last, and under it why it failed, where it lies."""
    if not found:
        return ["no runs yet; start one with: launch train, or launch demo"]
    head = ("ID", "STATE", "STEP", "LOSS", "WHERE", "MODEL")
    table = [
        (
            status.id,
            status.state,
            "-" if status.step is None else f"{status.step}/{status.steps}",
            "-" if status.loss is None else f"{status.loss:.3f}",
            status.where or "-",
            (status.model or "-").rsplit("/", 1)[-1],
        )
        for status in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *table, strict=True)]
    lines = [shortened("  ".join(map(str.ljust, head, widths)).rstrip())]
    for status, row in zip(found, table, strict=True):
        lines.append(shortened("  ".join(map(str.ljust, row, widths)).rstrip()))
        lines.append(f"    {_near(status.folder)}")
        if status.pod is not None and status.gone_by is not None:
            until = f"{datetime.fromtimestamp(status.gone_by).astimezone():%H:%M %Z}"
            so_far = f"${status.cost:.2f} so far, deadline {until}"
            if status.state == PAST:
                # The estimate of the cost ends at the deadline; only RunPod knows whether the pod does.
                so_far = f"${status.cost:.2f} until its deadline {until}; cost after it: launch receipt {status.id}"
            lines.append(f"    pod {status.pod} ({status.gpu}), {so_far}")
        elif status.cost is not None:
            lines.append(f"    ${status.cost:.2f} on {status.gpu}, by elapsed time")
        if status.reason:
            lines.append(f"    {status.reason}")
    return lines


def _near(folder: str) -> str:
    """The folder, relative to the current one where possible."""
    path = Path(folder)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
