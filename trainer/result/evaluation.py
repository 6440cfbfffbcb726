"""Compares base and adapter after training: runs datagen's evaluation as a command.

In a pod the supervisor runs it; elsewhere the trainer, after everything else. A failed evaluation is a
warning: the result is already complete.
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
# Seconds that it may write no event; a pod limits the whole evaluation to the same time.
SILENT = float(Limits().evaluate)


def arguments(run: Path, episodes: str) -> list[str]:
    """Return the arguments of ``COMMAND``; paths are relative to the working folder."""
    return ["--model", str(run), "--episodes", episodes, "--out", str(run)]


def due(job: Job, run: Path) -> bool:
    """Whether the job wants an evaluation that the run folder does not have yet."""
    return job.evaluate is not None and not (run / COMPARISON).exists()


def outcome(
    run: Path, code: int, again: str, *, log_from: int = 0
) -> events.Phase | events.Warning:
    """Return the event of an ended evaluation: its figures, or a warning with the reason.

    ``again``: the episodes as the user names them; ``log_from``: where its output starts in the log.
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
        message=f"the adapter is complete, but was not evaluated ({why}); evaluate it at any time with: "
        f"datagen evaluate --model RUN --episodes {again}"
    )


def last_error(log: Path, start: int) -> str:
    """Return the last error in a log from byte ``start`` on; empty if it has none."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
        return next((x for x in reversed(lines) if x.startswith("error: ")), "")
    return ""


def size(log: Path) -> int:
    """Return the size of a log in bytes."""
    return log.stat().st_size if log.exists() else 0


def evaluate(job: Job) -> None:
    """Evaluate in a separate process, outside of a pod. Raises ``Interrupted``."""
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
                "interrupted during the evaluation; the adapter is complete",
                f"continue with: datagen evaluate --model {shlex.quote(job.output)} "
                f"--episodes {shlex.quote(job.evaluate)}",
            ) from None
        writer.emit(outcome(run, code, job.evaluate, log_from=before))


def run_command(
    what: Sequence[str], on_event: Callable[[events.Event], object], *, log: Path | None = None
) -> int:
    """Run ``COMMAND`` with the arguments ``what``, call ``on_event`` for its events, return its exit code.

    Its output is appended to ``log``, if given. It is ended before this raises KeyboardInterrupt, or
    ``TrainingFailed`` after ``SILENT`` seconds without an event.
    """
    with ExitStack() as stack:
        printed = stack.enter_context(log.open("ab")) if log else None
        pipe, end = os.pipe()
        stack.callback(os.close, pipe)
        # In the trainer's process group, so that what kills the trainer also kills it.
        child = subprocess.Popen(
            [*COMMAND, *what],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=[end],
            env=os.environ | {EVENTS_FD: str(end)},
        )
        os.close(end)
        rest = b""
        try:
            while select.select([pipe], [], [], SILENT)[0] and (block := os.read(pipe, TAIL)):
                *lines, rest = (rest + block).split(b"\n")
                for event in filter(None, map(events.parse, lines)):
                    on_event(event)
            return child.wait(SILENT)
        except subprocess.TimeoutExpired:
            _end(child)
            raise TrainingFailed(f"the evaluation wrote no event for {SILENT:.0f} s", "") from None
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
    """Free the trained model's memory for the next process."""
    gc.collect()
    if "torch" in sys.modules:
        device.empty_cache()
