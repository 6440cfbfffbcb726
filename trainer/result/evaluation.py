"""Base against adapter once training is over: datagen's evaluation, as a command.

The supervisor runs it as a child of its own; outside of a pod the trainer does, when all else is done.
A failed evaluation is a warning: the result is there and whole.
"""

import gc
import json
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from trainer import device
from trainer.contract import events
from trainer.contract.command.errors import Interrupted, TrainingFailed
from trainer.contract.episodes import COMPARISON
from trainer.contract.job import Job
from trainer.contract.pod import EVENTS_FD, Limits
from trainer.processes.pipe import open_events
from trainer.signals import StopRequest

PHASE, OVER = "evaluate", "evaluated"
COMMAND = (sys.executable, "-P", "-m", "datagen", "evaluate")
LOG = "train.log"
TAIL = 8192
TO_END = 10.0
# Longest that it may tell nothing: a pod gives no more time than this for all of it.
SILENT = float(Limits().evaluate)


def arguments(run: Path, episodes: str) -> list[str]:
    """What ``COMMAND`` is given; both as seen from the working folder."""
    return ["--model", str(run), "--episodes", episodes, "--out", str(run)]


def due(job: Job, run: Path) -> bool:
    """Whether the job wants an evaluation that the run folder does not hold yet."""
    return job.evaluate is not None and not (run / COMPARISON).exists()


def outcome(
    run: Path, code: int, again: str, *, log_from: int = 0
) -> events.Phase | events.Warning:
    """What to say of an evaluation that has ended: its outcome, or a warning with the reason.

    ``again`` are the episodes as the user names them; what it printed begins at ``log_from`` of the log.
    """
    try:
        found = json.loads((run / COMPARISON).read_bytes())
        base, adapter = (float(found[name]) for name in ("base", "adapter"))
        text = f"base {base:.3f}, adapter {adapter:.3f}, {found['n']} questions"
    except (OSError, ValueError, KeyError, TypeError):
        how = last_error(run / LOG, log_from) or f"exit code {code}, see {LOG}"
        return warning(how, again)
    return events.Phase(name=OVER, detail=text)


def warning(why: str, again: str) -> events.Warning:
    return events.Warning(
        message=f"the adapter was not evaluated ({why}); it is whole, and can be at any time: "
        f"datagen evaluate --model RUN --episodes {again}"
    )


def last_error(log: Path, start: int) -> str:
    """The last error that a log tells of from byte ``start`` on."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
        return next((x for x in reversed(lines) if x.startswith("error: ")), "")
    return ""


def size(log: Path) -> int:
    """How long a log is by now."""
    return log.stat().st_size if log.exists() else 0


def evaluate(job: Job) -> None:
    """Evaluate in a process of its own, outside of a pod. Raises ``Interrupted``."""
    run = Path(job.output)
    assert job.evaluate is not None
    free_gpu_memory()
    before = size(run / LOG)
    with open_events(run / "events.jsonl") as writer, StopRequest():
        writer.emit(events.Phase(name=PHASE, detail=job.evaluate))
        try:
            code = run_command(arguments(run, job.evaluate), writer.emit)
        except TrainingFailed as fault:
            writer.emit(warning(fault.cause, job.evaluate))
            return
        except KeyboardInterrupt:
            writer.emit(warning("interrupted", job.evaluate))
            raise Interrupted(
                "interrupted while evaluating; the adapter is whole",
                f"go on with: datagen evaluate --model {shlex.quote(job.output)} "
                f"--episodes {shlex.quote(job.evaluate)}",
            ) from None
        writer.emit(outcome(run, code, job.evaluate, log_from=before))


def run_command(
    what: Sequence[str], on_event: Callable[[events.Event], object], *, log: Path | None = None
) -> int:
    """Run ``COMMAND`` on ``what``, ``on_event`` its events, return its exit code.

    What it prints goes to the end of ``log``, where given. Ended before a KeyboardInterrupt is passed on.
    Raises ``TrainingFailed`` when it has told nothing for too long, after ending it.
    """
    with ExitStack() as stack:
        printed = stack.enter_context(log.open("ab")) if log else None
        ours, theirs = os.pipe()
        stack.callback(os.close, ours)
        # In our process group: whoever ends the trainer for good ends this too.
        child = subprocess.Popen(
            [*COMMAND, *what],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=[theirs],
            env=os.environ | {EVENTS_FD: str(theirs)},
        )
        os.close(theirs)
        rest = b""
        try:
            while select.select([ours], [], [], SILENT)[0] and (block := os.read(ours, TAIL)):
                *lines, rest = (rest + block).split(b"\n")
                for event in filter(None, map(events.parse, lines)):
                    on_event(event)
            return child.wait(SILENT)
        except subprocess.TimeoutExpired:
            _end(child)
            raise TrainingFailed(f"nothing was heard of it for {SILENT:.0f} s", "") from None
        except KeyboardInterrupt:
            _end(child)
            raise


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(TO_END)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def free_gpu_memory() -> None:
    """Give back what the trained model took: the next process loads its own."""
    gc.collect()
    if "torch" in sys.modules:
        device.empty_cache()
